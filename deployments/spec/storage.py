"""``storage`` of the service document: what is mounted, and where (eas.md §3.6)."""

from __future__ import annotations

import posixpath
import re
from typing import Any

from django.utils.translation import gettext_noop
from pydantic import Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from deployments.spec.parts import Number, Part

SYSTEM_FOLDERS = (
    "/bin", "/boot", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/proc", "/run", "/sbin", "/sys", "/usr",
)  # fmt: skip
STORAGE_SOURCES = ("oss", "nfs", "git", "dataset", "empty_dir")


class Oss(Part):
    path: str = Field(description=gettext_noop("oss://BUCKET/FOLDER/"))
    endpoint: str = Field("", description=gettext_noop("text"))
    read_only: bool = Field(False, alias="readOnly", description=gettext_noop("true or false"))

    @field_validator("path")
    @classmethod
    def check_path(cls, value: str) -> str:
        match = re.fullmatch(r"oss://([a-z0-9](?:[a-z0-9.-]{0,61}[a-z0-9])?)(/[^\0\\]*)?", value)
        if not match or ".." in match.group(1) or ".." in (match.group(2) or "").split("/"):
            raise PydanticCustomError("oss_path", "bad path")
        return value

    @property
    def bucket(self) -> str:
        return self.path.removeprefix("oss://").split("/", 1)[0]

    @property
    def prefix(self) -> str:
        """The folder below the bucket, without slashes at either end; "" is the whole bucket."""
        _, _, prefix = self.path.removeprefix("oss://").partition("/")
        return posixpath.normpath(prefix).strip("/") if prefix.strip("/") else ""


class Nfs(Part):
    """A folder of a file server (NAS and CPFS in EAS)."""

    server: str = Field(
        max_length=253,
        pattern=r"^[A-Za-z0-9\[][A-Za-z0-9.:\]-]*$",
        description=gettext_noop("a host name or an address"),
    )
    path: str = Field("/", pattern=r"^/", max_length=4096, description=gettext_noop("a path that starts with /"))
    read_only: bool = Field(False, alias="readOnly", description=gettext_noop("true or false"))


class Git(Part):
    """A repository that is cloned before the program starts."""

    repo: str = Field(
        max_length=2048,
        pattern=r"^https?://[^\s/@?#]+(/[^\s@?#]*)?$",
        description=gettext_noop("an address that begins with https://, without a user and a password in it"),
    )
    branch: str = Field(
        "", max_length=250, pattern=r"^([A-Za-z0-9_][A-Za-z0-9._/+-]*)?$", description=gettext_noop("a branch or a tag")
    )
    commit: str = Field(
        "", pattern=r"^([0-9a-fA-F]{7,64})?$", description=gettext_noop("a commit of 7 to 64 hexadecimal digits")
    )
    username: str = Field("", max_length=1024, description=gettext_noop("text"))
    password: str = Field("", max_length=4096, description=gettext_noop("text of at most 4,096 characters"))


class EmptyDir(Part):
    medium: str = Field("", description=gettext_noop("memory, or left out"))
    size_limit: Number | None = Field(None, gt=0, description=gettext_noop("gigabytes, over 0"))

    @property
    def is_memory(self) -> bool:
        return self.medium.lower() == "memory"


class Mount(Part):
    """One entry of ``storage``: a source and where it appears (eas.md §3.6)."""

    mount_path: str = Field("", max_length=4096, description=gettext_noop("an absolute path"))
    oss: Oss | None = Field(None, description=gettext_noop("an object with path"))
    empty_dir: EmptyDir | None = Field(None, description=gettext_noop("an object"))
    nfs: Nfs | None = Field(None, description=gettext_noop("an object with server and path"))
    git: Git | None = Field(None, description=gettext_noop("an object with repo"))
    dataset: dict[str, Any] | None = Field(None, description=gettext_noop("an object"))

    @property
    def folder(self) -> str:
        """``mount_path`` without doubled or trailing slashes."""
        return "/" + posixpath.normpath(self.mount_path).lstrip("/")

    @property
    def source(self) -> str:
        """Which kind of source this is, one of ``STORAGE_SOURCES``."""
        return next(name for name in STORAGE_SOURCES if getattr(self, name) is not None)

    @model_validator(mode="after")
    def check_mount(self) -> Mount:
        if sum(getattr(self, name) is not None for name in STORAGE_SOURCES) != 1:
            raise PydanticCustomError("storage_source", "one source")
        path = self.mount_path
        if not path.startswith("/") or "\0" in path or "\\" in path or any(c.isspace() for c in path):
            raise PydanticCustomError("mount_path", "not absolute")
        if ":" in path:  # Kubernetes takes none
            raise PydanticCustomError("mount_colon", "a colon")
        plain = self.folder
        if ".." in path.split("/") or plain == "/":
            raise PydanticCustomError("mount_path", "not a folder of its own")
        if any(plain == folder or plain.startswith(folder + "/") for folder in SYSTEM_FOLDERS):
            raise PydanticCustomError("mount_system", "{path}", {"path": plain})
        return self

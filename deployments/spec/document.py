"""The service document's shape (EAS service JSON, eas.md §3), as typed models.

Only what Slipway acts on is named here; every other key is kept as it came. The ``description`` of a field
completes the sentence "… must be …" in error messages (in the reader's language) and in the documentation.
"""

from __future__ import annotations

import posixpath
import re
from typing import Annotated, Any, Literal

from django.utils.translation import gettext_noop
from pydantic import (
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

RESERVED_PORTS = (8080, 9090)  # of the EAS engine inside every instance, eas.md §2.5
SYSTEM_FOLDERS = (
    "/bin", "/boot", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/proc", "/run", "/sbin", "/sys", "/usr",
)  # fmt: skip
STORAGE_SOURCES = ("oss", "nfs", "git", "dataset", "empty_dir")


def no_boolean(value: Any) -> Any:
    """JSON's true is no number, though Python would take it for 1."""
    if isinstance(value, bool):
        raise PydanticCustomError("not_a_number", "true and false are not numbers")
    return value


Whole = Annotated[int, BeforeValidator(no_boolean)]
Number = Annotated[float, BeforeValidator(no_boolean)]


class Part(BaseModel):
    """A part of the document: unknown keys kept, values never changed after parsing."""

    model_config = ConfigDict(extra="allow", frozen=True, populate_by_name=True, allow_inf_nan=False)


class RollingStrategy(Part):
    """How many instances an update may add and miss (eas.md §3.2)."""

    max_surge: int | str = Field("2%", description=gettext_noop("a whole number from 0, or a percentage such as 10%"))
    max_unavailable: int | str = Field(
        0, description=gettext_noop("a whole number from 0, or a percentage such as 10%")
    )

    @field_validator("max_surge", "max_unavailable")
    @classmethod
    def check_share(cls, value: int | str) -> int | str:
        """Whole numbers come as text too; percentages stay text."""
        text = str(value).strip()
        if re.fullmatch(r"\d{1,4}", text):
            return int(text)
        if re.fullmatch(r"\d{1,3}%", text):
            return text
        raise PydanticCustomError("not_a_share", "not a share")


class Rpc(Part):
    """``metadata.rpc`` (eas.md §3.2)."""

    keepalive: Whole = Field(
        600_000, ge=1, le=86_400_000, description=gettext_noop("milliseconds, from 1 to 86,400,000")
    )
    max_queue_size: Whole = Field(64, ge=0, le=100_000, description=gettext_noop("a whole number from 0 to 100,000"))


class Metadata(Part):
    """``metadata`` (eas.md §3.2)."""

    name: str = ""
    instance: Whole = Field(1, ge=0, le=1000, description=gettext_noop("a whole number from 0 to 1000"))
    cpu: Number | None = Field(None, gt=0, le=512, description=gettext_noop("a number of cores over 0, at most 512"))
    memory: Whole | None = Field(None, ge=1, le=8_388_608, description=gettext_noop("megabytes, from 1 to 8,388,608"))
    gpu: Whole = Field(0, ge=0, le=64, description=gettext_noop("a whole number from 0 to 64"))
    workspace_id: str | int | None = Field(None, description=gettext_noop("the name of a workspace"))
    rolling_strategy: RollingStrategy = Field(RollingStrategy(), description=gettext_noop("an object"))
    rpc: Rpc = Field(Rpc(), description=gettext_noop("an object"))
    termination_grace_period: Whole = Field(
        30, ge=0, le=3600, description=gettext_noop("seconds, from 0 to 3600"), alias="eas.termination_grace_period"
    )


class EnvVar(Part):
    """One environment variable of a container."""

    name: str = Field(
        max_length=255, description=gettext_noop("a name of letters, digits and _, not starting with a digit")
    )
    value: str = Field(
        "", max_length=131_072, description=gettext_noop("text of at most 131,072 characters, without NUL")
    )

    @field_validator("name")
    @classmethod
    def check_variable(cls, value: str) -> str:
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", value):
            raise PydanticCustomError("env_name", "bad name")
        return value

    @field_validator("value", mode="before")
    @classmethod
    def take_scalars(cls, value: Any) -> Any:
        """YAML and hand-written JSON give numbers and booleans where text is meant."""
        if isinstance(value, bool):
            return "true" if value else "false"
        return str(value) if isinstance(value, int | float) else value

    @field_validator("value")
    @classmethod
    def check_value(cls, value: str) -> str:
        if "\0" in value:
            raise PydanticCustomError("env_value", "NUL")
        return value


class HttpGet(Part):
    path: str = Field("/", pattern=r"^/", description=gettext_noop("a path that starts with /"))
    port: Whole | None = Field(None, ge=1, le=65535, description=gettext_noop("a port from 1 to 65535"))
    scheme: Literal["HTTP", "HTTPS", "http", "https"] = Field("HTTP", description=gettext_noop("HTTP or HTTPS"))


class TcpSocket(Part):
    port: Whole | None = Field(None, ge=1, le=65535, description=gettext_noop("a port from 1 to 65535"))


class ExecAction(Part):
    command: list[str] = Field(min_length=1, description=gettext_noop("a list of texts"))


class Probe(Part):
    """A startup, liveness or health check (eas.md §3.4); exactly one of its three actions."""

    http_get: HttpGet | None = Field(None, description=gettext_noop("an object with path and port"))
    tcp_socket: TcpSocket | None = Field(None, description=gettext_noop("an object with port"))
    exec: ExecAction | None = Field(None, description=gettext_noop("an object with command"))
    initial_delay_seconds: Whole = Field(15, ge=0, le=3600, description=gettext_noop("seconds, from 0 to 3600"))
    period_seconds: Whole = Field(10, ge=1, le=3600, description=gettext_noop("seconds, from 1 to 3600"))
    timeout_seconds: Whole = Field(1, ge=1, le=3600, description=gettext_noop("seconds, from 1 to 3600"))
    success_threshold: Whole = Field(1, ge=1, le=1000, description=gettext_noop("a whole number from 1 to 1000"))
    failure_threshold: Whole = Field(3, ge=1, le=10_000, description=gettext_noop("a whole number from 1 to 10,000"))

    @model_validator(mode="after")
    def check_one_action(self) -> Probe:
        if sum(action is not None for action in (self.http_get, self.tcp_socket, self.exec)) != 1:
            raise PydanticCustomError("probe_action", "one action")
        return self


class Prepare(Part):
    """Python packages that are installed before the program starts."""

    python_requirements: list[str] = Field([], alias="pythonRequirements", description=gettext_noop("a list of texts"))
    python_requirements_path: str = Field("", alias="pythonRequirementsPath", description=gettext_noop("a path"))


class Container(Part):
    """One entry of ``containers`` (eas.md §3.4)."""

    image: str = Field(min_length=1, max_length=1024, description=gettext_noop("the name of an image"))
    script: str | None = Field(None, min_length=1, max_length=65_536, description=gettext_noop("shell text"))
    command: str | list[str] | None = Field(
        None, min_length=1, description=gettext_noop("one command, as text or as a list")
    )
    args: list[str] = Field([], description=gettext_noop("a list of texts"))
    port: Whole = Field(8000, ge=1, le=65535, description=gettext_noop("a port from 1 to 65535, not 8080 or 9090"))
    env: list[EnvVar] = Field([], description=gettext_noop('a list of {"name": …, "value": …}'))
    prepare: Prepare = Field(Prepare(), description=gettext_noop("an object"))
    startup_check: Probe | None = Field(None, description=gettext_noop("an object"))
    liveness_check: Probe | None = Field(None, description=gettext_noop("an object"))
    health_check: Probe | None = Field(
        None, validation_alias=AliasChoices("health_check", "readiness_check"), description=gettext_noop("an object")
    )

    @field_validator("image")
    @classmethod
    def check_image(cls, value: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._/:@-]*", value) or ".." in value:
            raise PydanticCustomError("image_name", "bad image")
        return value

    @field_validator("port")
    @classmethod
    def check_port(cls, value: int) -> int:
        if value in RESERVED_PORTS:
            raise PydanticCustomError("port_reserved", "reserved")
        return value

    @field_validator("script", "command", "args")
    @classmethod
    def check_text(cls, value: Any) -> Any:
        texts = value if isinstance(value, list) else [value]
        if any(isinstance(text, str) and "\0" in text for text in texts):
            raise PydanticCustomError("text_nul", "NUL")
        return value

    @model_validator(mode="after")
    def check_program(self) -> Container:
        if self.script is not None and self.command is not None:
            raise PydanticCustomError("script_and_command", "both")
        return self


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


class EmptyDir(Part):
    medium: str = Field("", description=gettext_noop("memory, or left out"))
    size_limit: Number | None = Field(None, gt=0, description=gettext_noop("gigabytes, over 0"))


class Mount(Part):
    """One entry of ``storage``: a source and where it appears (eas.md §3.6)."""

    mount_path: str = Field("", max_length=4096, description=gettext_noop("an absolute path"))
    oss: Oss | None = Field(None, description=gettext_noop("an object with path"))
    empty_dir: EmptyDir | None = Field(None, description=gettext_noop("an object"))
    nfs: dict[str, Any] | None = Field(None, description=gettext_noop("an object"))
    git: dict[str, Any] | None = Field(None, description=gettext_noop("an object"))
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
        plain = self.folder
        if ".." in path.split("/") or plain == "/":
            raise PydanticCustomError("mount_path", "not a folder of its own")
        if any(plain == folder or plain.startswith(folder + "/") for folder in SYSTEM_FOLDERS):
            raise PydanticCustomError("mount_system", "{path}", {"path": plain})
        return self


class Runtime(Part):
    enable_crash_block: bool = Field(False, description=gettext_noop("true or false"))
    termination_grace_period: Whole | None = Field(
        None, ge=0, le=3600, description=gettext_noop("seconds, from 0 to 3600")
    )


class ServiceDocument(Part):
    """The whole document. ``ServiceSpec.parse`` adds the rules that span its parts."""

    metadata: Metadata = Field(description=gettext_noop("an object"))
    containers: list[Container] = Field([], max_length=16, description=gettext_noop("a list of containers"))
    storage: list[Mount] = Field([], max_length=64, description=gettext_noop("a list of mounts"))
    labels: dict[str, str | int | float | bool] = Field({}, description=gettext_noop("an object of texts"))
    runtime: Runtime = Field(Runtime(), description=gettext_noop("an object"))
    token: str | None = Field(
        None, min_length=8, max_length=512, pattern=r"^[\x21-\x7e]+$",
        description=gettext_noop("8 to 512 printable characters without spaces"),
    )  # fmt: skip

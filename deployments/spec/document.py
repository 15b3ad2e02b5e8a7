"""The service document's shape (EAS service JSON, eas.md §3), as typed models.

Only what Slipway acts on is named here; every other key is kept as it came. The ``description`` of a field
completes the sentence "… must be …" in error messages (in the reader's language) and in the documentation.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any, Literal

from django.utils.translation import gettext_noop
from pydantic import AliasChoices, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from deployments.spec.autoscaling import Autoscaler
from deployments.spec.parts import Number, Part, Whole
from deployments.spec.storage import Mount

RESERVED_PORTS = (8080, 9090)  # of the EAS engine inside every instance, eas.md §2.5


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
    worker_threads: Whole = Field(5, ge=1, le=100_000, description=gettext_noop("a whole number from 1 to 100,000"))
    rate_limit: Whole = Field(0, ge=0, le=1_000_000, description=gettext_noop("a whole number from 0 to 1,000,000"))


class Spread(Part):
    """Over what the instances are spread."""

    policy: Literal["default", "host", "zone"] = Field("default", description=gettext_noop("default, host or zone"))


class Scheduling(Part):
    spread: Spread = Field(Spread(), description=gettext_noop("an object with policy"))


#: A label's value, or "".
GPU_PRODUCT = r"([A-Za-z0-9]([A-Za-z0-9 ._-]{0,61}[A-Za-z0-9])?)?"


class Metadata(Part):
    """``metadata`` (eas.md §3.2)."""

    name: str = ""
    instance: Whole = Field(1, ge=0, le=1000, description=gettext_noop("a whole number from 0 to 1000"))
    cpu: Number | None = Field(None, gt=0, le=512, description=gettext_noop("a number of cores over 0, at most 512"))
    memory: Whole | None = Field(None, ge=1, le=8_388_608, description=gettext_noop("megabytes, from 1 to 8,388,608"))
    gpu: Whole = Field(0, ge=0, le=64, description=gettext_noop("a whole number from 0 to 64"))
    gpu_memory: Number | None = Field(
        None, gt=0, le=8192, description=gettext_noop("gigabytes of one GPU, over 0 and at most 8192")
    )
    gpu_core_percentage: Whole | None = Field(
        None, ge=1, le=100, description=gettext_noop("a whole number from 1 to 100")
    )
    #: Slipway's own: EAS says it by the instance type.
    gpu_product: str = Field(
        "", max_length=63, pattern=f"^{GPU_PRODUCT}$",
        description=gettext_noop("the name of a GPU, such as A10"),
    )  # fmt: skip
    qos: Literal["", "BestEffort"] = Field("", description=gettext_noop("BestEffort, or left out"))
    shm_size: Number | None = Field(None, gt=0, le=8192, description=gettext_noop("gigabytes, over 0 and at most 8192"))
    disk: str = Field("", pattern=r"^([1-9][0-9]{0,6}(Mi|Gi|Ti))?$", description=gettext_noop("a size such as 30Gi"))
    scheduling: Scheduling = Field(Scheduling(), description=gettext_noop("an object with spread"))
    workspace_id: str | int | None = Field(None, description=gettext_noop("the name of a workspace"))
    group: str | None = Field(
        None, pattern=r"^([a-z0-9_]{3,63})?$",
        description=gettext_noop("a name of a-z, 0-9 and _, 3 to 63 characters"),
    )  # fmt: skip
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

    @property
    def is_wanted(self) -> bool:
        return bool(self.python_requirements or self.python_requirements_path)


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


class Runtime(Part):
    enable_crash_block: bool = Field(False, description=gettext_noop("true or false"))
    termination_grace_period: Whole | None = Field(
        None, ge=0, le=3600, description=gettext_noop("seconds, from 0 to 3600")
    )


class InstanceType(Part):
    """One kind of machine (eas.md §3.3)."""

    type: str = Field("", max_length=128, description=gettext_noop("the name of an instance type"))


class Computing(Part):
    instances: list[InstanceType] = Field([], max_length=32, description=gettext_noop("a list of instance types"))
    instance_type: str = Field("", max_length=128, description=gettext_noop("the name of an instance type"))


class Cloud(Part):
    """``cloud``: the machines that instances run on."""

    computing: Computing = Field(Computing(), description=gettext_noop("an object"))

    @property
    def instance_types(self) -> tuple[str, ...]:
        """In the order in which they are to be tried; ``dedicated_resource`` is no type."""
        named = [one.type for one in self.computing.instances] or [self.computing.instance_type]
        return tuple(dict.fromkeys(name for name in named if name and name != "dedicated_resource"))


class ServiceDocument(Part):
    """The whole document. ``ServiceSpec.parse`` adds the rules that span its parts."""

    metadata: Metadata = Field(description=gettext_noop("an object"))
    containers: list[Container] = Field([], max_length=16, description=gettext_noop("a list of containers"))
    storage: list[Mount] = Field([], max_length=64, description=gettext_noop("a list of mounts"))
    labels: dict[str, str | int | float | bool] = Field({}, description=gettext_noop("an object of texts"))
    cloud: Cloud = Field(Cloud(), description=gettext_noop("an object"))
    autoscaler: Autoscaler | None = Field(None, description=gettext_noop("an object with min, max and strategies"))
    docker_auth: str = Field(
        "",
        alias="dockerAuth",
        max_length=8192,
        description=gettext_noop("USER:PASSWORD of an image registry, in base64"),
    )
    runtime: Runtime = Field(Runtime(), description=gettext_noop("an object"))
    token: str | None = Field(
        None, min_length=8, max_length=512, pattern=r"^[\x21-\x7e]+$",
        description=gettext_noop("8 to 512 printable characters without spaces"),
    )  # fmt: skip

    @field_validator("docker_auth")
    @classmethod
    def check_docker_auth(cls, value: str) -> str:
        try:
            user, colon, _ = base64.b64decode(value, validate=True).decode().partition(":")
        except (binascii.Error, ValueError):
            user = colon = ""
        if value and not (user and colon):
            raise PydanticCustomError("docker_auth", "not base64")
        return value

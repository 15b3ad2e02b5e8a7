"""Slipway's settings, read once from environment variables.

``Environment.parse`` is a function of the mapping it is given, and of the files that it names: it asks nobody and
changes nothing. Every process of Slipway (supervisor, server, worker, beat, management commands) reads its settings
here, so a wrong value is found before anything starts. ``SETTINGS`` is also where the table in ``docs/settings.md``
comes from.
"""

from __future__ import annotations

import difflib
import hashlib
import ipaddress
import os
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

from console.kubernetes_environment import KUBERNETES_SETTINGS, connection_problem, kubernetes_settings
from console.setting_values import (
    Setting,
    Wrong,
    parse_boot_at,
    parse_cluster,
    parse_database_url,
    parse_host,
    parse_instance_types,
    parse_local_commands,
    parse_metrics_token,
    parse_otlp_endpoint,
    parse_path,
    parse_port,
    parse_processes,
    parse_public_url,
    parse_python,
    parse_redis_url,
    parse_region,
    parse_secret_key,
    parse_switch,
)
from deployments.clusters.kubernetes.settings import KubernetesSettings

REPOSITORY = Path(__file__).resolve().parent.parent

#: ``sun_path`` holds 104 bytes on macOS and 108 on Linux; temporary names next to the socket need a few.
LONGEST_SOCKET_PATH = 100


#: What ``slipway`` on the command line reads (docs/cli.md). Both run on one machine: none of these is a typing error.
CLIENT_VARIABLES = frozenset(
    {
        "SLIPWAY_CONFIG",
        "SLIPWAY_OUTPUT",
        "SLIPWAY_PROFILE",
        "SLIPWAY_SERVICE_TOKEN",
        "SLIPWAY_TOKEN",
        "SLIPWAY_URL",
    }
)


class EnvironmentError_(Exception):  # noqa: N801 - the plain name is Python's own alias of OSError
    """One or more settings are wrong. ``problems`` has one sentence for each."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


SETTINGS: tuple[Setting, ...] = (
    Setting("SLIPWAY_PORT", "8000", "TCP port the server listens on.", parse_port),
    Setting(
        "SLIPWAY_HOST",
        "127.0.0.1",
        "Address the server listens on. Anything but a loopback address lets other machines in, "
        "and then only the catalog's recipes run unless `SLIPWAY_LOCAL_COMMANDS=any`.",
        parse_host,
    ),
    Setting(
        "SLIPWAY_SERVER_PROCESSES",
        "1",
        "Server processes that share the port: one keeps one core busy at most (docs/production.md).",
        parse_processes,
    ),
    Setting(
        "SLIPWAY_DATA_DIR",
        "./var",
        "Folder for everything Slipway keeps: database, secret key, logs, instances. Made with mode 0700.",
        parse_path,
    ),
    Setting(
        "SLIPWAY_ADMIN_PASSWORD",
        "generated",
        "Password of the operator `admin`, read by the first start, which creates that account. Unset: that "
        "start makes one and prints it once.",
        str,
        is_secret=True,
    ),
    Setting(
        "SLIPWAY_SECRET_KEY",
        "generated",
        "Key that signs sessions and encrypts service tokens, at least 32 characters. Unset: made by the first "
        "start and kept as `secret.key` in the data folder. With another key, stored tokens cannot be read.",
        parse_secret_key,
        is_secret=True,
    ),
    Setting(
        "DATABASE_URL",
        "SQLite in the data folder",
        "`postgres://user:password@host:5432/name` or `sqlite:////absolute/path.sqlite3`.",
        parse_database_url,
        is_secret=True,
    ),
    Setting(
        "REDIS_URL",
        "embedded Valkey",
        "`redis://`, `rediss://` or `unix://` address of a Redis or Valkey for tasks, live pages and cache. Unset: "
        "one is started on a Unix socket in the data folder.",
        parse_redis_url,
        is_secret=True,
    ),
    Setting(
        "SLIPWAY_CLUSTER",
        "local",
        "Where services run: `local` (processes of this machine) or `kubernetes` (docs/kubernetes.md).",
        parse_cluster,
    ),
    *KUBERNETES_SETTINGS,
    Setting(
        "SLIPWAY_INSTANCE_TYPES",
        "none",
        "A YAML file of instance types in addition to, or in place of, those of docs/models.md (docs/kubernetes.md).",
        parse_instance_types,
    ),
    Setting("SLIPWAY_REGION", "local", "Region name in the REST paths, `{ClusterId}`.", parse_region),
    Setting(
        "SLIPWAY_PUBLIC_URL",
        "none",
        "Address people use when a proxy stands in front, such as `https://slipway.example.com`. Its host is "
        "accepted, its origin trusted, and `https` makes the cookies Secure.",
        parse_public_url,
    ),
    Setting(
        "SLIPWAY_LOCAL_COMMANDS",
        "`any` on a loopback address, else `recipes`",
        "What the local cluster may run: `recipes` (only the catalog's own commands) or `any` command. A command "
        "can do whatever Slipway's own user can.",
        parse_local_commands,
    ),
    Setting(
        "SLIPWAY_HMAC_SHA1",
        "on",
        "`off` refuses requests signed with HMAC-SHA1, as `alipai`'s: it does not cover the body. Use it without TLS.",
        parse_switch,
    ),
    Setting(
        "SLIPWAY_METRICS_TOKEN",
        "none",
        "Token with which Prometheus reads `/metrics`, at least 16 characters. Administrators read it without "
        "(docs/observability.md).",
        parse_metrics_token,
        is_secret=True,
    ),
    Setting(
        "SLIPWAY_ACCESS_LOG",
        "off",
        "`on` writes a line of JSON for each request to a service (docs/observability.md).",
        parse_switch,
    ),
    Setting(
        "SLIPWAY_OTLP_ENDPOINT",
        "`OTEL_EXPORTER_OTLP_ENDPOINT`, or none",
        "Where the gateway sends its traces by OTLP over HTTP, such as `http://collector:4318`. It takes the extra "
        "`tracing` (docs/observability.md).",
        parse_otlp_endpoint,
    ),
    Setting(
        "SLIPWAY_TRANSFORMERS_PYTHON",
        "Slipway's own",
        "A Python of Slipway's version that has `torch` and `transformers`: what serves Hugging Face folders on the "
        "local cluster.",
        parse_python,
    ),
    Setting(
        "SLIPWAY_VLLM_PYTHON",
        "Slipway's own, or the one beside `vllm` on the `PATH`",
        "A Python that has `vllm`: what the acceleration vLLM runs with on the local cluster.",
        parse_python,
    ),
    Setting(
        "SLIPWAY_BOOT_AT",
        "none",
        "Set by the supervisor for its parts: when this start began, in seconds since 1970.",
        parse_boot_at,
        is_internal=True,
    ),
)


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _is_every_address(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False


@dataclass(frozen=True, slots=True)
class Environment:
    """Slipway's settings, all valid. Build it with ``parse``."""

    port: int
    host: str
    data_dir: Path
    server_processes: int
    cluster: str
    kubernetes: KubernetesSettings
    region: str
    public_url: str | None
    local_commands: str  # "recipes" | "any"
    hmac_sha1: bool  # REST takes that signature
    access_log: bool
    otlp_endpoint: str | None
    instance_types: str  # a file, or ""
    boot_at: datetime | None
    admin_password: str | None = field(repr=False)
    secret_key: str | None = field(repr=False)
    metrics_token: str | None = field(repr=False)
    database_url: str = field(repr=False)
    redis_url: str = field(repr=False)
    #: No REDIS_URL was given: the supervisor starts a Valkey on ``valkey_socket``.
    has_embedded_valkey: bool = True

    @classmethod
    def parse(cls, variables: Mapping[str, str]) -> Environment:
        """Read the settings. Raises ``EnvironmentError_`` with every problem found; empty counts as unset."""
        values: dict[str, Any] = {}
        problems = _find_unknown_names(variables)
        for setting in SETTINGS:
            text = variables.get(setting.name, "").strip()
            if not text:
                continue
            try:
                values[setting.name] = setting.parse(text)
            except Wrong as wrong:
                shown = setting.name if setting.is_secret else f"{setting.name}={text[:80]!r}"
                problems.append(f"{shown} {wrong}")
        unreachable = connection_problem(values, variables)
        if problems or unreachable:
            raise EnvironmentError_([*problems, *filter(None, [unreachable])])
        host: str = values.get("SLIPWAY_HOST", "127.0.0.1")
        data_dir: Path = values.get("SLIPWAY_DATA_DIR", REPOSITORY / "var")
        database: str = values.get("DATABASE_URL", f"sqlite:///{quote(str(data_dir / 'db.sqlite3'))}")
        redis: str | None = values.get("REDIS_URL")
        return cls(
            port=values.get("SLIPWAY_PORT", 8000),
            host=host,
            data_dir=data_dir,
            server_processes=values.get("SLIPWAY_SERVER_PROCESSES", 1),
            cluster=values.get("SLIPWAY_CLUSTER", "local"),
            kubernetes=kubernetes_settings(values, variables),
            region=values.get("SLIPWAY_REGION", "local"),
            public_url=values.get("SLIPWAY_PUBLIC_URL"),
            local_commands=values.get("SLIPWAY_LOCAL_COMMANDS", "any" if _is_loopback(host) else "recipes"),
            hmac_sha1=values.get("SLIPWAY_HMAC_SHA1", True),
            access_log=values.get("SLIPWAY_ACCESS_LOG", False),
            otlp_endpoint=values.get("SLIPWAY_OTLP_ENDPOINT"),
            instance_types=values.get("SLIPWAY_INSTANCE_TYPES", ""),
            boot_at=values.get("SLIPWAY_BOOT_AT"),
            admin_password=values.get("SLIPWAY_ADMIN_PASSWORD"),
            secret_key=values.get("SLIPWAY_SECRET_KEY"),
            metrics_token=values.get("SLIPWAY_METRICS_TOKEN"),
            database_url=database,
            redis_url=redis or f"unix://{quote(str(_valkey_socket(data_dir)))}",
            has_embedded_valkey=redis is None,
        )

    @property
    def is_loopback(self) -> bool:
        """Only programs of this machine can reach the server."""
        return _is_loopback(self.host)

    @property
    def is_https(self) -> bool:
        return self.public_url is not None and self.public_url.startswith("https://")

    @property
    def valkey_socket(self) -> Path:
        """Where the embedded Valkey listens."""
        return _valkey_socket(self.data_dir)

    @property
    def database_file(self) -> Path | None:
        """The SQLite file, or None on PostgreSQL."""
        parts = urlsplit(self.database_url)
        return Path(os.path.abspath(unquote(parts.path[1:]))) if parts.scheme == "sqlite" else None

    @property
    def connect_host(self) -> str:
        """An address at which this machine reaches its own server."""
        if _is_every_address(self.host):
            return "::1" if ":" in self.host else "127.0.0.1"
        return self.host

    @property
    def address(self) -> str:
        """What to type into a browser, without a slash at the end."""
        host = f"[{self.connect_host}]" if ":" in self.connect_host else self.connect_host
        return self.public_url or f"http://{host}:{self.port}"

    @property
    def allowed_hosts(self) -> list[str]:
        """Host headers the console answers to.

        Listening on every address without a public URL, no list can be known, so any name is accepted.
        """
        if self.public_url is None and _is_every_address(self.host):
            return ["*"]
        own = f"[{self.host}]" if ":" in self.host else self.host
        hosts = ["localhost", ".localhost", "127.0.0.1", "[::1]", own]
        if self.public_url is not None:
            name = urlsplit(self.public_url).hostname or ""
            hosts.append(f"[{name}]" if ":" in name else name)
        return list(dict.fromkeys(hosts))

    @property
    def redis_database(self) -> int:
        """The number of the database that ``redis_url`` names: ``redis://host/3`` or ``unix:///path?db=3``."""
        parts = urlsplit(self.redis_url)
        named = parse_qs(parts.query).get("db", [""])[0] or ("" if parts.scheme == "unix" else parts.path.strip("/"))
        return int(named) if named.isdecimal() else 0

    @property
    def celery_broker_url(self) -> str:
        """``redis_url`` in the words of Celery's transport, which spells a socket ``redis+socket``."""
        return re.sub(r"^unix://", "redis+socket://", self.redis_url)


def _valkey_socket(data_dir: Path) -> Path:
    """The socket in the data folder, or, where that path is too long for the system, in a short folder."""
    socket = data_dir / "valkey.sock"
    if len(os.fsencode(socket)) <= LONGEST_SOCKET_PATH:
        return socket
    digest = hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"slipway-{os.getuid()}-{digest}" / "valkey.sock"


def _find_unknown_names(variables: Mapping[str, str]) -> list[str]:
    """A sentence for each ``SLIPWAY_`` name nobody reads: most likely a typing error, never to be ignored."""
    known = [setting.name for setting in SETTINGS]
    public = [setting.name for setting in SETTINGS if not setting.is_internal]
    problems = []
    for name in sorted(variables):
        if name.startswith("SLIPWAY_") and name not in known and name not in CLIENT_VARIABLES:
            nearest = difflib.get_close_matches(name, public, n=1, cutoff=0.0)[0]
            problems.append(f"{name} is not a setting. Did you mean {nearest}?")
    return problems


def render_settings_table() -> str:
    """The Markdown table of ``docs/settings.md``."""
    lines = ["| variable | default | meaning |", "| --- | --- | --- |"]
    for setting in SETTINGS:
        if not setting.is_internal:
            default = setting.default if " " in setting.default else f"`{setting.default}`"
            lines.append(f"| `{setting.name}` | {default} | {setting.meaning} |")
    return "\n".join(lines) + "\n"

"""Slipway's settings, read once from environment variables.

``Environment.parse`` is a function of the mapping it is given: it opens nothing and changes nothing. Every process of
Slipway (supervisor, server, worker, beat, management commands) reads its settings here, so a wrong value is found
before anything starts. ``SETTINGS`` is also where the table in ``docs/settings.md`` comes from.
"""

from __future__ import annotations

import difflib
import hashlib
import ipaddress
import os
import re
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

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


class _Wrong(Exception):
    """A value that cannot be used; the text completes the sentence ``NAME=value ...``."""


def _parse_port(value: str) -> int:
    if not re.fullmatch(r"[0-9]{1,5}", value) or not 1 <= int(value) <= 65535:
        raise _Wrong("is not a port number. Use a whole number from 1 to 65535.")
    return int(value)


def _parse_host(value: str) -> str:
    bare = value.removeprefix("[").removesuffix("]")
    try:
        return str(ipaddress.ip_address(bare))
    except ValueError:
        pass
    label = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
    looks_like_an_address = re.fullmatch(r"[0-9.]+", bare) is not None
    if len(bare) > 253 or looks_like_an_address or not re.fullmatch(rf"{label}(\.{label})*", bare, re.IGNORECASE):
        raise _Wrong("is not an address to listen on. Use an IP address or a host name, without port or scheme.")
    return bare.lower()


def _parse_path(value: str) -> Path:
    if "\0" in value:
        raise _Wrong("is not a path. Use the path of a folder.")
    return Path(os.path.abspath(os.path.expanduser(value)))


def _parse_secret_key(value: str) -> str:
    if len(value) < 32:
        raise _Wrong("is too short. Use at least 32 random characters, or leave it unset.")
    return value


def _split_url(value: str, schemes: dict[str, str]) -> tuple[str, Any]:
    """``value`` taken apart, when its scheme is one of ``schemes``; both give the cure in the error."""
    try:
        parts = urlsplit(value)
        _ = parts.port  # raises when it is no number
    except ValueError as error:
        raise _Wrong(f"is not a URL ({error}). Use {' or '.join(dict.fromkeys(schemes.values()))}.") from error
    if parts.scheme not in schemes:
        raise _Wrong(f"has no scheme that works here. Use {' or '.join(dict.fromkeys(schemes.values()))}.")
    return parts.scheme, parts


def _parse_database_url(value: str) -> str:
    postgres = "postgres://user:password@host:5432/name"
    sqlite = "sqlite:////absolute/path.sqlite3"
    scheme, parts = _split_url(value, {"sqlite": sqlite, "postgres": postgres, "postgresql": postgres})
    name = unquote(parts.path.removeprefix("/"))
    if scheme == "sqlite" and (not name or name == ":memory:" or parts.netloc):
        raise _Wrong(f"names no database file that several processes can share. Use {sqlite}.")
    if scheme != "sqlite" and not name:
        raise _Wrong(f"names no database. Use {postgres}.")
    return value


def _parse_redis_url(value: str) -> str:
    scheme, parts = _split_url(
        value, {"redis": "redis://host:6379/0", "rediss": "rediss://host:6379/0", "unix": "unix:///path/to/socket"}
    )
    if scheme == "unix" and not parts.path.strip("/"):
        raise _Wrong("names no socket. Use unix:///path/to/socket.")
    if scheme != "unix" and not parts.hostname:
        raise _Wrong("names no host. Use redis://host:6379/0.")
    if scheme != "unix" and not re.fullmatch(r"/?[0-9]*", parts.path):
        raise _Wrong("ends in something that is no database number. Use redis://host:6379/0.")
    return value


def _parse_cluster(value: str) -> str:
    if value == "kubernetes":
        raise _Wrong("is not available in this version. Use local, or leave it unset.")
    if value != "local":
        raise _Wrong("is not a cluster. Use local.")
    return value


def _parse_region(value: str) -> str:
    if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", value):
        raise _Wrong("is not a region name. Use up to 63 lower-case letters, digits and inner hyphens.")
    return value


def _parse_public_url(value: str) -> str:
    _, parts = _split_url(value, {"https": "https://slipway.example.com", "http": "http://host:8000"})
    if not parts.hostname or parts.path.strip("/") or parts.query or parts.fragment or "@" in parts.netloc:
        raise _Wrong("is not the address of a site. Use scheme and host only, such as https://slipway.example.com.")
    return f"{parts.scheme}://{parts.netloc.lower()}"


def _parse_local_commands(value: str) -> str:
    if value not in ("recipes", "any"):
        raise _Wrong("is unknown. Use recipes (only the catalog's own commands run) or any.")
    return value


def _parse_switch(value: str) -> bool:
    if value not in ("on", "off"):
        raise _Wrong("is unknown. Use on or off.")
    return value == "on"


def _parse_boot_at(value: str) -> datetime:
    try:
        return datetime.fromtimestamp(float(value), UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise _Wrong("is not a time. Leave it unset: the supervisor sets it.") from error


@dataclass(frozen=True, slots=True)
class Setting:
    """One environment variable: how it is read, and what the documentation says of it."""

    name: str
    default: str
    meaning: str
    parse: Callable[[str], Any]
    is_secret: bool = False
    is_internal: bool = False  # set by the supervisor for its parts, not by people


SETTINGS: tuple[Setting, ...] = (
    Setting("SLIPWAY_PORT", "8000", "TCP port the server listens on.", _parse_port),
    Setting(
        "SLIPWAY_HOST",
        "127.0.0.1",
        "Address the server listens on. Anything but a loopback address lets other machines in, "
        "and then only the catalog's recipes run unless `SLIPWAY_LOCAL_COMMANDS=any`.",
        _parse_host,
    ),
    Setting(
        "SLIPWAY_DATA_DIR",
        "./var",
        "Folder for everything Slipway keeps: database, secret key, logs, instances. Made with mode 0700.",
        _parse_path,
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
        _parse_secret_key,
        is_secret=True,
    ),
    Setting(
        "DATABASE_URL",
        "SQLite in the data folder",
        "`postgres://user:password@host:5432/name` or `sqlite:////absolute/path.sqlite3`.",
        _parse_database_url,
        is_secret=True,
    ),
    Setting(
        "REDIS_URL",
        "embedded Valkey",
        "`redis://`, `rediss://` or `unix://` address of a Redis or Valkey for tasks, live pages and cache. Unset: "
        "one is started on a Unix socket in the data folder.",
        _parse_redis_url,
        is_secret=True,
    ),
    Setting(
        "SLIPWAY_CLUSTER",
        "local",
        "Where services run: `local` (processes of this machine). `kubernetes` is refused in this version.",
        _parse_cluster,
    ),
    Setting("SLIPWAY_REGION", "local", "Region name in the REST paths, `{ClusterId}`.", _parse_region),
    Setting(
        "SLIPWAY_PUBLIC_URL",
        "none",
        "Address people use when a proxy stands in front, such as `https://slipway.example.com`. Its host is "
        "accepted, its origin trusted, and `https` makes the cookies Secure.",
        _parse_public_url,
    ),
    Setting(
        "SLIPWAY_LOCAL_COMMANDS",
        "`any` on a loopback address, else `recipes`",
        "What the local cluster may run: `recipes` (only the catalog's own commands) or `any` command. A command "
        "can do whatever Slipway's own user can.",
        _parse_local_commands,
    ),
    Setting(
        "SLIPWAY_HMAC_SHA1",
        "on",
        "`off` refuses requests signed with HMAC-SHA1, as `alipai`'s: it does not cover the body. Use it without TLS.",
        _parse_switch,
    ),
    Setting(
        "SLIPWAY_BOOT_AT",
        "none",
        "Set by the supervisor for its parts: when this start began, in seconds since 1970.",
        _parse_boot_at,
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
    cluster: str
    region: str
    public_url: str | None
    local_commands: str  # "recipes" | "any"
    hmac_sha1: bool  # REST takes that signature
    boot_at: datetime | None
    admin_password: str | None = field(repr=False)
    secret_key: str | None = field(repr=False)
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
            except _Wrong as wrong:
                shown = setting.name if setting.is_secret else f"{setting.name}={text[:80]!r}"
                problems.append(f"{shown} {wrong}")
        if problems:
            raise EnvironmentError_(problems)
        host: str = values.get("SLIPWAY_HOST", "127.0.0.1")
        data_dir: Path = values.get("SLIPWAY_DATA_DIR", REPOSITORY / "var")
        database: str = values.get("DATABASE_URL", f"sqlite:///{quote(str(data_dir / 'db.sqlite3'))}")
        redis: str | None = values.get("REDIS_URL")
        return cls(
            port=values.get("SLIPWAY_PORT", 8000),
            host=host,
            data_dir=data_dir,
            cluster=values.get("SLIPWAY_CLUSTER", "local"),
            region=values.get("SLIPWAY_REGION", "local"),
            public_url=values.get("SLIPWAY_PUBLIC_URL"),
            local_commands=values.get("SLIPWAY_LOCAL_COMMANDS", "any" if _is_loopback(host) else "recipes"),
            hmac_sha1=values.get("SLIPWAY_HMAC_SHA1", True),
            boot_at=values.get("SLIPWAY_BOOT_AT"),
            admin_password=values.get("SLIPWAY_ADMIN_PASSWORD"),
            secret_key=values.get("SLIPWAY_SECRET_KEY"),
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

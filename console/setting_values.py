"""How the value of each setting is read: text in, value out, or ``Wrong`` with what can be done about it."""

from __future__ import annotations

import ipaddress
import os
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit


class Wrong(Exception):
    """A value that cannot be used; the text completes the sentence ``NAME=value ...``."""


def parse_port(value: str) -> int:
    if not re.fullmatch(r"[0-9]{1,5}", value) or not 1 <= int(value) <= 65535:
        raise Wrong("is not a port number. Use a whole number from 1 to 65535.")
    return int(value)


def parse_count(value: str) -> int:
    if not re.fullmatch(r"[0-9]{1,5}", value):
        raise Wrong("is not a number. Use a whole number from 0 to 99999.")
    return int(value)


def parse_host(value: str) -> str:
    bare = value.removeprefix("[").removesuffix("]")
    try:
        return str(ipaddress.ip_address(bare))
    except ValueError:
        pass
    label = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
    looks_like_an_address = re.fullmatch(r"[0-9.]+", bare) is not None
    if len(bare) > 253 or looks_like_an_address or not re.fullmatch(rf"{label}(\.{label})*", bare, re.IGNORECASE):
        raise Wrong("is not an address to listen on. Use an IP address or a host name, without port or scheme.")
    return bare.lower()


def parse_path(value: str) -> Path:
    if "\0" in value:
        raise Wrong("is not a path. Use the path of a folder.")
    return Path(os.path.abspath(os.path.expanduser(value)))


def parse_secret_key(value: str) -> str:
    if len(value) < 32:
        raise Wrong("is too short. Use at least 32 random characters, or leave it unset.")
    return value


def split_url(value: str, schemes: dict[str, str]) -> tuple[str, Any]:
    """``value`` taken apart, when its scheme is one of ``schemes``; both give the cure in the error."""
    try:
        parts = urlsplit(value)
        _ = parts.port  # raises when it is no number
    except ValueError as error:
        raise Wrong(f"is not a URL ({error}). Use {' or '.join(dict.fromkeys(schemes.values()))}.") from error
    if parts.scheme not in schemes:
        raise Wrong(f"has no scheme that works here. Use {' or '.join(dict.fromkeys(schemes.values()))}.")
    return parts.scheme, parts


def parse_database_url(value: str) -> str:
    postgres = "postgres://user:password@host:5432/name"
    sqlite = "sqlite:////absolute/path.sqlite3"
    scheme, parts = split_url(value, {"sqlite": sqlite, "postgres": postgres, "postgresql": postgres})
    name = unquote(parts.path.removeprefix("/"))
    if scheme == "sqlite" and (not name or name == ":memory:" or parts.netloc):
        raise Wrong(f"names no database file that several processes can share. Use {sqlite}.")
    if scheme != "sqlite" and not name:
        raise Wrong(f"names no database. Use {postgres}.")
    return value


def parse_redis_url(value: str) -> str:
    scheme, parts = split_url(
        value, {"redis": "redis://host:6379/0", "rediss": "rediss://host:6379/0", "unix": "unix:///path/to/socket"}
    )
    if scheme == "unix" and not parts.path.strip("/"):
        raise Wrong("names no socket. Use unix:///path/to/socket.")
    if scheme != "unix" and not parts.hostname:
        raise Wrong("names no host. Use redis://host:6379/0.")
    if scheme != "unix" and not re.fullmatch(r"/?[0-9]*", parts.path):
        raise Wrong("ends in something that is no database number. Use redis://host:6379/0.")
    return value


def parse_cluster(value: str) -> str:
    if value not in ("local", "kubernetes"):
        raise Wrong("is not a cluster. Use local or kubernetes.")
    return value


def parse_label_name(value: str) -> str:
    """A Kubernetes namespace, or a label's value of the same letters."""
    if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", value):
        raise Wrong("is not a name in Kubernetes. Use up to 63 lower-case letters, digits and inner hyphens.")
    return value


def parse_pod_access(value: str) -> str:
    if value not in ("pod", "proxy", "node"):
        raise Wrong("is not a way to a pod. Use pod, proxy or node.")
    return value


def parse_images(value: str) -> dict[str, str]:
    """``NAME=IMAGE`` pairs with commas between them."""
    pairs = dict(pair.split("=", 1) for pair in value.replace(" ", "").split(",") if "=" in pair)
    if len(pairs) != len([part for part in value.split(",") if part.strip()]) or not all(pairs.values()):
        raise Wrong("is no list of images. Use NAME=IMAGE, with commas between: chat-llm-webui=registry/chat-llm:1.")
    return pairs


def parse_names(value: str) -> tuple[str, ...]:
    names = tuple(part.strip() for part in value.split(",") if part.strip())
    for name in names:
        parse_label_name(name)
    return names


def parse_region(value: str) -> str:
    if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", value):
        raise Wrong("is not a region name. Use up to 63 lower-case letters, digits and inner hyphens.")
    return value


def parse_public_url(value: str) -> str:
    _, parts = split_url(value, {"https": "https://slipway.example.com", "http": "http://host:8000"})
    if not parts.hostname or parts.path.strip("/") or parts.query or parts.fragment or "@" in parts.netloc:
        raise Wrong("is not the address of a site. Use scheme and host only, such as https://slipway.example.com.")
    return f"{parts.scheme}://{parts.netloc.lower()}"


def parse_local_commands(value: str) -> str:
    if value not in ("recipes", "any"):
        raise Wrong("is unknown. Use recipes (only the catalog's own commands run) or any.")
    return value


def parse_switch(value: str) -> bool:
    if value not in ("on", "off"):
        raise Wrong("is unknown. Use on or off.")
    return value == "on"


def parse_python(value: str) -> str:
    path = str(parse_path(value))
    if not (os.path.isfile(path) and os.access(path, os.X_OK)):
        raise Wrong("is no program that can be run. Use the path of a Python, such as /opt/vllm/bin/python.")
    return path


def parse_boot_at(value: str) -> datetime:
    try:
        return datetime.fromtimestamp(float(value), UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise Wrong("is not a time. Leave it unset: the supervisor sets it.") from error

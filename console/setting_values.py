"""How the value of each setting is read: text in, value out, or ``Wrong`` with what can be done about it."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from deployments.clusters.kubernetes.settings import Toleration


class Wrong(Exception):
    """A value that cannot be used; the text completes the sentence ``NAME=value ...``."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One environment variable: how it is read, and what the documentation says of it."""

    name: str
    default: str
    meaning: str
    parse: Callable[[str], Any]
    is_secret: bool = False
    is_internal: bool = False  # set by the supervisor for its parts, not by people


def parse_port(value: str) -> int:
    if not re.fullmatch(r"[0-9]{1,5}", value) or not 1 <= int(value) <= 65535:
        raise Wrong("is not a port number. Use a whole number from 1 to 65535.")
    return int(value)


def parse_count(value: str) -> int:
    if not re.fullmatch(r"[0-9]{1,5}", value):
        raise Wrong("is not a number. Use a whole number from 0 to 99999.")
    return int(value)


def parse_processes(value: str) -> int:
    if not re.fullmatch(r"[0-9]{1,3}", value) or not 1 <= int(value) <= 64:
        raise Wrong("is not a number of processes. Use a whole number from 1 to 64.")
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


def parse_object_name(value: str) -> str:
    """The name of an object in Kubernetes."""
    if not re.fullmatch(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?", value):
        raise Wrong("is not a name in Kubernetes. Use lower-case letters, digits, inner hyphens and dots.")
    return value


def parse_image(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._/:@-]*", value):
        raise Wrong("is not the name of an image, such as registry.example.com/slipway:1.")
    return value


def parse_oss_mount(value: str) -> str:
    if value not in ("auto", "csi", "copy"):
        raise Wrong("is unknown. Use auto, csi or copy.")
    return value


def parse_oss_endpoint(value: str) -> str:
    """An object store's address; a host alone means https."""
    if not re.fullmatch(r"(https?://)?[A-Za-z0-9.-]+(:[0-9]{1,5})?/?", value):
        raise Wrong("is not the address of an object store. Use https://HOST, or http://HOST:PORT.")
    return value.rstrip("/")


def parse_label_key(value: str) -> str:
    """The name of a node label: an optional domain, a slash, a name."""
    if not re.fullmatch(
        r"([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?", value
    ):
        raise Wrong("is not the name of a label, such as node.kubernetes.io/instance-type.")
    return value


def parse_node_selector(value: str) -> tuple[tuple[str, str], ...]:
    """``LABEL=VALUE`` pairs with commas between them."""
    pairs = []
    for part in filter(None, (part.strip() for part in value.split(","))):
        key, equals, wanted = part.partition("=")
        if not equals or not re.fullmatch(r"([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?", wanted):
            raise Wrong("is no list of labels. Use LABEL=VALUE, with commas between.")
        pairs.append((parse_label_key(key), wanted))
    return tuple(pairs)


def parse_tolerations(value: str) -> tuple[Toleration, ...]:
    """``KEY``, ``KEY=VALUE``, each with ``:EFFECT`` or without, with commas between them."""
    found = []
    for part in filter(None, (part.strip() for part in value.split(","))):
        taint, _, effect = part.partition(":")
        key, equals, wanted = taint.partition("=")
        if effect not in ("", "NoSchedule", "PreferNoSchedule", "NoExecute"):
            raise Wrong(f"has the effect {effect!r}. Use NoSchedule, PreferNoSchedule or NoExecute, or leave it out.")
        found.append(Toleration(parse_label_key(key), wanted if equals else None, effect))
    return tuple(found)


def parse_instance_types(value: str) -> str:
    path = str(parse_path(value))
    if not os.path.isfile(path):
        raise Wrong("is no file. Use a YAML file that is written as deployments/instance_types.yaml is.")
    if find_spec("yaml") is None:  # bootstrap.py, before anything is installed; read again when Slipway starts
        return path
    from deployments.instance_types import InstanceTypesInvalid, read_instance_types  # needs PyYAML, see above

    try:
        read_instance_types(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as problem:
        raise Wrong(f"cannot be read: {problem}.") from None
    except InstanceTypesInvalid as problem:
        raise Wrong(str(problem)) from None
    return path


def parse_region(value: str) -> str:
    if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", value):
        raise Wrong("is not a region name. Use up to 63 lower-case letters, digits and inner hyphens.")
    return value


def parse_public_url(value: str) -> str:
    _, parts = split_url(value, {"https": "https://slipway.example.com", "http": "http://host:8000"})
    if not parts.hostname or parts.path.strip("/") or parts.query or parts.fragment or "@" in parts.netloc:
        raise Wrong("is not the address of a site. Use scheme and host only, such as https://slipway.example.com.")
    return f"{parts.scheme}://{parts.netloc.lower()}"


def parse_otlp_endpoint(value: str) -> str:
    _, parts = split_url(value, {"http": "http://collector:4318", "https": "https://otlp.example.com"})
    if not parts.hostname or parts.query or parts.fragment or "@" in parts.netloc:
        raise Wrong("is no OTLP endpoint. Use the address of a collector, such as http://collector:4318.")
    return value.rstrip("/")


def parse_local_commands(value: str) -> str:
    if value not in ("recipes", "any"):
        raise Wrong("is unknown. Use recipes (only the catalog's own commands run) or any.")
    return value


def parse_metrics_token(value: str) -> str:
    if len(value) < 16 or not value.isascii() or not value.isprintable() or " " in value:
        raise Wrong("is too short, or no token. Use at least 16 random letters and digits.")
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

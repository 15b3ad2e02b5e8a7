"""Service discovery for PredictClient's direct mode: eas.md §2.3, sdk-wire.md §6.

The client asks for addresses without a token, joins ``ip`` and ``port`` and posts to ``/api/predict/<service>``
there, signed as ever. So the address must be a gateway's and not an instance's, which knows no token; it is the one
that the client has just reached.
"""

from __future__ import annotations

import re

from inference_gateway.chat import ChatError
from inference_gateway.directory import Directory
from inference_gateway.groups import GroupEntry
from inference_gateway.http import Scope, find_header
from inference_gateway.routing import no_service
from inference_gateway.targets import DISCOVERY

#: A host's name or address, with brackets around IPv6's, and a port.
AUTHORITY = re.compile(r"(?P<host>[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::(?P<port>\d{1,5}))?")
#: Clients share requests out by it; with one address any number does.
WEIGHT = 100


async def describe_upstreams(directory: Directory, path: str, scope: Scope) -> dict[str, object]:
    """Where requests to a service or group are taken: nowhere while no instance is ready. Raises ChatError 404, 405.

    ``internal=true``, which clients inside the cluster add, asks for the address seen from there: this one, too.
    """
    name = path.removeprefix(DISCOVERY)
    if scope["method"] not in ("GET", "HEAD"):
        raise ChatError(405, "method_not_allowed", f"{scope['method']} is not answered here. Use GET or HEAD.")
    entry = await directory.find_entry(name)
    if entry is None:
        raise no_service(name)
    if isinstance(entry, GroupEntry):
        members = [(member, await directory.find(member.name)) for member in entry.members]
        is_ready = any(one is not None and entry.share_of(member, len(one.routes)) for member, one in members)
    else:
        is_ready = bool(entry.routes)
    items = [find_address(scope)] if is_ready else []
    return {"endpoints": {"items": items}}


def find_address(scope: Scope) -> dict[str, object]:
    """The address that the caller reached: what it wrote, else the one that this server listens on."""
    given = AUTHORITY.fullmatch(find_header(scope, b"host") or "")
    if given is not None:
        port = int(given["port"] or 80)
        return {"ip": given["host"], "port": port, "weight": WEIGHT}
    host, port = scope.get("server") or ("127.0.0.1", 80)
    return {"ip": f"[{host}]" if ":" in host else host, "port": port, "weight": WEIGHT}

"""The HTTP client of requests that are only carried: it follows, keeps, repeats and unpacks nothing."""

from __future__ import annotations

from types import SimpleNamespace

import aiohttp

from inference_gateway.dead_peers import make_socket

#: Finding the address of a name and TLS's handshake among it.
CONNECT_TIMEOUT_SECONDS = 5.0


async def refuse_redirect(
    session: aiohttp.ClientSession, context: SimpleNamespace, redirect: aiohttp.TraceRequestRedirectParams
) -> None:
    """A WebSocket's handshake, too, goes where the instance is and nowhere that it says."""
    found = redirect.response
    raise aiohttp.WSServerHandshakeError(found.request_info, (), status=found.status, headers=found.headers)


class DroppedError(aiohttp.ClientError):
    """The instance closed the connection without an answer. What it was asked may have been done."""


async def ask_once(request: aiohttp.ClientRequest, ask: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Left alone, aiohttp asks again for GET, PUT, DELETE and their like, as on a kept connection that was dropped.
    Ours are all fresh: whoever dropped one was there, and may be at it.
    """
    try:
        return await ask(request)
    except aiohttp.ClientConnectorError:
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise DroppedError from error


def open_passthrough_session() -> aiohttp.ClientSession:
    """Connections are not kept: a body that has been streamed could not be sent again on a stale one."""
    tracing = aiohttp.TraceConfig()
    tracing.on_request_redirect.append(refuse_redirect)
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, force_close=True, socket_factory=make_socket),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        trust_env=False,
        skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
        timeout=aiohttp.ClientTimeout(total=None, connect=CONNECT_TIMEOUT_SECONDS),
        trace_configs=[tracing],
        middlewares=(ask_once,),
    )

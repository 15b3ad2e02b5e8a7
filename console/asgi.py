"""The ASGI application: the inference gateway's routes first, everything else to Django.

Generation routes are raw ASGI (a reply streamed inside a Channels or Django handler never learns that the
client left), so they are dispatched here, before any framework.
"""

from __future__ import annotations

import gc
import logging
import os
import secrets

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "console.settings")

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from channels.routing import URLRouter
from django.core.asgi import get_asgi_application
from django.urls import path, re_path

pages = get_asgi_application()

# Below the line that loads the apps: these need their models.
from console.live import LiveConsumer  # noqa: E402
from deployments.request_ids import request_id  # noqa: E402
from inference_gateway.gateway import Gateway  # noqa: E402
from inference_gateway.targets import owns  # noqa: E402
from inference_gateway.webchat.chat import WebChat  # noqa: E402
from inference_gateway.webchat.consumer import ChatConsumer  # noqa: E402

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[Mapping[str, Any]], Awaitable[None]]

logger = logging.getLogger(__name__)
#: So many more objects than at the last look for cycles make the next one due: some hundred requests' worth.
NEW_OBJECTS = 20_000
#: One a process: it counts what is under way here.
gateway = Gateway()
web_chat = WebChat(gateway)


async def _refuse_socket(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "websocket.close", "code": 4404, "reason": None})


#: WebSockets of our own pages.
sockets = URLRouter(
    [
        path("ws/live", LiveConsumer.as_asgi()),
        path("ws/chat/<str:name>", ChatConsumer.as_asgi(web_chat=web_chat)),
        re_path("", _refuse_socket),  # type: ignore[arg-type]  # an ASGI application, as Channels routes it
    ]
)


def _tend_garbage() -> None:
    """Look for cycles seldom, and not among what stays: the usual looks took a tenth of the processor under load."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(NEW_OBJECTS, 20, 20)


async def _answer_lifespan(receive: Receive, send: Send) -> None:
    """Start what runs beside requests, and stop it once the server has seen the last of them out."""
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            try:
                await gateway.start()
                _tend_garbage()
            except Exception as error:  # an edge: the server says it and exits
                logger.exception("The gateway did not start")
                await send({"type": "lifespan.startup.failed", "message": str(error)})
                return
            await send({"type": "lifespan.startup.complete"})
        elif message["type"] == "lifespan.shutdown":
            await web_chat.close()
            await gateway.stop()
            await send({"type": "lifespan.shutdown.complete"})
            return


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """Dispatch by scope type and path."""
    if scope["type"] == "lifespan":
        await _answer_lifespan(receive, send)
    elif owns(scope["path"]):
        await gateway(scope, receive, send)
    elif scope["type"] == "http":
        await pages(scope, receive, send)
    else:
        request_id.set(secrets.token_hex(4))
        await sockets(scope, receive, send)

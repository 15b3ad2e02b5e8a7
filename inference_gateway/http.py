"""Raw ASGI building blocks: read a body within a limit, answer, and stop working when the caller leaves.

Nothing here knows a protocol or Django. A reply runs in a task of its own; the caller's leaving is watched
beside it, streamed or not, and cancels the task, which is awaited before the handler returns.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import functools
import json
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from inference_gateway.chat import ChatError
from inference_gateway.wire import find_wire

logger = logging.getLogger(__name__)

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = Iterable[tuple[bytes, bytes]]

#: EAS's limit for a request (eas.md §1.1).
MAX_BODY_BYTES = 1024 * 1024

#: How long what a caller still sends is read after it was refused. Closed at once, the connection is reset, and
#: a caller that sends its whole request before it looks sees that instead of the refusal.
LINGER_SECONDS = 10.0


#: Of every stream: proxies that gather or cache would turn it into a lump.
UNBUFFERED = ((b"cache-control", b"no-cache"), (b"x-accel-buffering", b"no"))


class ClientGoneError(Exception):
    """The caller left before the whole request had come. There is nobody to answer."""


class BodyTooLargeError(ChatError):
    """413 ``body_too_large``. ``has_rest``: the caller is still sending."""

    def __init__(self, limit_bytes: int, has_rest: bool, cure: str = "Send a shorter prompt or history.") -> None:
        limit = f"{limit_bytes // 1024} KiB"
        super().__init__(413, "body_too_large", f"The body is over {limit}. {cure}")
        self.has_rest = has_rest


class Ending(enum.StrEnum):
    """How a reply ended."""

    FINISHED = "finished"
    FAILED = "failed"
    CANCELLED = "cancelled"


def find_header(scope: Scope, name: bytes) -> str | None:
    """The value of the first header of that lower-case name; HTTP's bytes are read as Latin-1."""
    for key, value in scope.get("headers", ()):
        if key == name:
            return bytes(value).decode("latin-1")
    return None


async def read_body(scope: Scope, receive: Receive, limit_bytes: int = MAX_BODY_BYTES) -> bytes:
    """The whole body. Raises BodyTooLargeError as soon as it is known, and ClientGoneError."""
    declared = find_header(scope, b"content-length")
    if declared is not None and declared.isdigit() and int(declared[:20]) > limit_bytes:
        # Who asks before sending waits for our word, and then sends nothing.
        raise BodyTooLargeError(limit_bytes, has_rest=find_header(scope, b"expect") is None)
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGoneError
        part = message.get("body", b"")
        size += len(part)
        if size > limit_bytes:
            raise BodyTooLargeError(limit_bytes, has_rest=message.get("more_body", False))
        parts.append(part)
        if not message.get("more_body", False):
            return b"".join(parts)


async def send_body(
    send: Send, status: int, body: bytes, content_type: str = "application/json", headers: Headers = ()
) -> None:
    """A whole answer at once."""
    start_headers = [
        (b"content-type", content_type.encode("latin-1")),
        (b"content-length", str(len(body)).encode("ascii")),
        *headers,
    ]
    await send({"type": "http.response.start", "status": status, "headers": start_headers})
    await send({"type": "http.response.body", "body": body})


def render_wait(error: ChatError) -> Headers:
    """The header that says when to ask again, where the engine said so. Pure."""
    return () if error.wait_seconds is None else ((b"retry-after", b"%d" % error.wait_seconds),)


async def send_refusal(
    scope: Scope, receive: Receive, send: Send, error: ChatError, body: bytes, headers: Headers = ()
) -> None:
    """An error instead of an answer: ``body`` in the caller's dialect.

    To a request, or to a WebSocket's handshake whose connect message came.

    A server that can only close a handshake answers it with its own 403.
    """
    headers = (*headers, *render_wait(error))
    if scope["type"] == "http":
        has_rest = isinstance(error, BodyTooLargeError) and error.has_rest
        refusing = _ending_with_the_request(receive, send) if has_rest else send
        await send_body(refusing, error.status, body, headers=headers)
    elif "websocket.http.response" in scope.get("extensions", {}):

        async def send_response(message: Message) -> None:
            await send({**message, "type": f"websocket.{message['type']}"})

        await send_body(send_response, error.status, body, headers=headers)
    else:
        await send({"type": "websocket.close", "code": 1008, "reason": ""})


def _ending_with_the_request(receive: Receive, send: Send) -> Send:
    """``send`` for one whole answer, ended only once the rest of the request was read and dropped."""

    async def send_then_read(message: Message) -> None:
        if message["type"] != "http.response.body":
            await send(message)
            return
        await send({**message, "more_body": True})
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LINGER_SECONDS):
                while (part := await receive())["type"] == "http.request" and part.get("more_body", False):
                    pass
        await send({"type": "http.response.body", "body": b""})

    return send_then_read


async def send_json(send: Send, status: int, value: Any, headers: Headers = ()) -> None:
    body = json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")
    await send_body(send, status, body, headers=headers)


async def send_stream(
    send: Send,
    status: int,
    content_type: str,
    frames: AsyncGenerator[bytes, None],
    headers: Headers = (),
) -> None:
    """Send each frame as one chunk, as it comes; awaiting ``send`` is what slows the maker of frames down.

    The status goes out with the first frame: until then an error that ``frames`` raises reaches whoever
    called this with nothing sent.
    """
    async with contextlib.aclosing(frames):
        first = await anext(frames, b"")
        start_headers = [(b"content-type", content_type.encode("latin-1")), *UNBUFFERED, *headers]
        await send({"type": "http.response.start", "status": status, "headers": start_headers})
        if first:
            await send({"type": "http.response.body", "body": first, "more_body": True})
        async for frame in frames:
            if frame:
                await send({"type": "http.response.body", "body": frame, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


async def run_until_disconnect(reply: Awaitable[None], receive: Receive) -> Ending:
    """Run ``reply`` in a task; when the caller leaves first, cancel it and wait until it has ended.

    The body must have been read. Cancelling the handler itself ends the reply in the same way. What the
    reply raises is raised here.
    """
    task = asyncio.ensure_future(reply)
    watcher = asyncio.ensure_future(_wait_for_disconnect(receive))
    try:
        await asyncio.wait({task, watcher}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            await task
            return Ending.FINISHED
        return Ending.CANCELLED
    finally:
        await cancel_and_wait(watcher)
        await cancel_and_wait(task)


async def run_watched(reply: Awaitable[None], scope: Scope, receive: Receive, seconds: float) -> Ending:
    """As ``run_until_disconnect``, for at most ``seconds``: then TimeoutError. Without a task of its own where the
    server tells who leaves.
    """
    wire = find_wire(scope)
    if wire is None:
        async with asyncio.timeout(seconds):
            return await run_until_disconnect(reply, receive)
    task = asyncio.current_task()
    assert task is not None
    why: Ending | None = None

    def stop(because: Ending) -> None:
        nonlocal why
        if why is None:
            why = because
            task.cancel()

    deadline = asyncio.get_running_loop().call_later(seconds, stop, Ending.FAILED)
    wire.listen(functools.partial(stop, Ending.CANCELLED))
    try:
        await reply
    except asyncio.CancelledError:
        if why is None or task.uncancel() > 0:
            raise
        if why is Ending.FAILED:
            raise TimeoutError from None
        return why
    finally:
        deadline.cancel()
        wire.listen(None)
    return Ending.FINISHED


async def cancel_and_wait(task: asyncio.Future[Any], *, again_seconds: float | None = None) -> None:
    """End a task that nobody waits for any more. What it raises on its way out is logged, not raised.

    ``again_seconds``: cancel it again as often, for a task with nothing to finish on libraries that may lose a
    cancellation which meets what they waited for (seen of the Redis client under the channel layer).
    """
    # asyncio.wait, unlike awaiting the task, does not mix up its cancellation with ours.
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=again_seconds)
    if not task.cancelled() and task.exception() is not None:
        logger.error("A reply failed while it was cancelled", exc_info=task.exception())


async def _wait_for_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass

"""Messages of a WebSocket that is only carried."""

from __future__ import annotations

import asyncio
import contextlib
import logging

import aiohttp

from inference_gateway.http import Message, Receive, Send, cancel_and_wait

logger = logging.getLogger(__name__)


async def exchange_messages(upstream: aiohttp.ClientWebSocketResponse, receive: Receive, send: Send) -> None:
    """Carry messages both ways until either side closes; the other is then closed with the same code."""

    async def carry_up() -> None:
        while (message := await receive())["type"] == "websocket.receive":
            if message.get("text") is not None:
                await upstream.send_str(message["text"])
            else:
                await upstream.send_bytes(message.get("bytes") or b"")
        await upstream.close(code=sendable_code(message), message=(message.get("reason") or "").encode())

    async def carry_down() -> None:
        async for message in upstream:
            if message.type is aiohttp.WSMsgType.TEXT:
                await send({"type": "websocket.send", "text": message.data})
            elif message.type is aiohttp.WSMsgType.BINARY:
                await send({"type": "websocket.send", "bytes": message.data})
        code = sendable_code({"code": upstream.close_code})
        with contextlib.suppress(OSError, RuntimeError):  # the caller may have closed first
            await send({"type": "websocket.close", "code": code})

    tasks = {asyncio.ensure_future(carry_up()), asyncio.ensure_future(carry_down())}
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            if (error := task.exception()) is not None:
                logger.warning("A carried WebSocket broke off: %s", type(error).__name__)
    finally:
        for task in tasks:
            await cancel_and_wait(task)


def sendable_code(message: Message) -> int:
    """The close code to pass on; codes that may not be sent (1005, 1006, 1015, none) become fitting ones."""
    code = message.get("code")
    if code is None or code == 1005:
        return 1000
    return 1011 if code in (1006, 1015) else int(code)

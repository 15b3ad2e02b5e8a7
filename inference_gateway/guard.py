"""An accepted WebSocket whose token or API key is taken away: the next message from the caller ends it.

It is checked at the handshake. A connection may live for days after it, so each message looks again at what the
directory knows, which costs nothing while that is fresh. An answer under way may come to its end.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from inference_gateway.chat import ChatError
from inference_gateway.directory import Directory, ServiceEntry
from inference_gateway.http import Message, Receive, Send

_POLICY = 1008


class TokenGuard:
    """``receive`` and ``send`` of a connection that ``service`` was entered with.

    ``still_admits`` looks again at what else let the caller in: it is False, or raises ChatError 401 or 403, where that
    counts no more.
    """

    def __init__(
        self,
        directory: Directory,
        service: ServiceEntry,
        receive: Receive,
        send: Send,
        still_admits: Callable[[], Awaitable[bool]] | None = None,
    ) -> None:
        self._directory = directory
        self._service = service
        self._receive = receive
        self._send = send
        self._still_admits = still_admits
        self._is_closed = False

    async def receive(self) -> Message:
        """As the server's; where the token counts no more, the connection is closed and has ended."""
        message = await self._receive()
        if message["type"] != "websocket.receive":
            return message
        if await self._still_counts():
            return message
        self._is_closed = True
        await self._send({"type": "websocket.close", "code": _POLICY, "reason": "The token counts no more."})
        return {"type": "websocket.disconnect", "code": _POLICY}

    async def _still_counts(self) -> bool:
        try:
            now = await self._directory.find(self._service.name)
            if now is None or now.uid != self._service.uid:
                return False
            return now.token == self._service.token if self._still_admits is None else await self._still_admits()
        except ChatError as error:
            return error.status == 503  # there is no database, and nothing can have changed

    async def send(self, message: Message) -> None:
        """As the server's; what was under way when the connection was closed is dropped."""
        if not self._is_closed:
            await self._send(message)

"""An accepted WebSocket: its caller is asked for again with each message and each question.

It is checked at the handshake. A connection may live for days after it, so each message looks again at what is known,
which costs nothing while that is fresh. Where the token or the API key counts no more, or is for something else by now,
the next message from the caller ends the connection; an answer under way may come to its end. What counts still may
have other limits than a moment ago: each question is within those of when it is begun.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from inference_gateway.chat import ChatError
from inference_gateway.http import Message, Receive, Send
from inference_gateway.principals import Principal

_POLICY = 1008


class TokenGuard:
    """``receive`` and ``send`` of a connection that ``principal`` began.

    ``look_again`` says who asks by now. It raises ChatError 401, 403 or 404 where the caller would be let in no more.
    """

    def __init__(
        self, receive: Receive, send: Send, principal: Principal, look_again: Callable[[], Awaitable[Principal]]
    ) -> None:
        self._receive = receive
        self._send = send
        self._principal = principal
        self._look_again = look_again
        self._is_closed = False

    async def find_principal(self) -> Principal:
        """On whose account a question is answered that is begun now. Raises what ``look_again`` does, but for 503."""
        try:
            self._principal = await self._look_again()
        except ChatError as error:
            if error.status != 503:  # there is no database, and nothing can have changed
                raise
        return self._principal

    async def receive(self) -> Message:
        """As the server's; where the token counts no more, the connection is closed and has ended."""
        message = await self._receive()
        if message["type"] != "websocket.receive":
            return message
        try:
            await self.find_principal()
        except ChatError:
            self._is_closed = True
            await self._send({"type": "websocket.close", "code": _POLICY, "reason": "The token counts no more."})
            return {"type": "websocket.disconnect", "code": _POLICY}
        return message

    async def send(self, message: Message) -> None:
        """As the server's; what was under way when the connection was closed is dropped."""
        if not self._is_closed:
            await self._send(message)

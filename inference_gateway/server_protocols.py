"""uvicorn's protocols, where they fall short of HTTP: offers to change the protocol, and refused handshakes.

Java's HttpClient offers HTTP/2 with its first request (``Upgrade: h2c``). A server may pass such an offer over
and must then answer the request as it is (RFC 9110 §7.8). httptools ends a message with its headers where
``Upgrade`` is among them, so uvicorn would answer it without its body.
"""

from __future__ import annotations

from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

#: What says where a body ends.
_FRAMING = frozenset((b"content-length", b"transfer-encoding"))


class UpgradeBlindProtocol(HttpToolsProtocol):
    """Answers a request that offers a protocol we do not speak as one without the offer."""

    _is_repeating = False

    def data_received(self, data: bytes) -> None:
        """As uvicorn's, but what follows the headers of an unknown offer is read as the body that it is."""
        self._unset_keepalive_if_required()
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError:
            message = "Invalid HTTP request received."
            self.logger.warning(message)
            self.send_400_response(message)
        except httptools.HttpParserUpgrade as pause:
            if self._should_upgrade():
                self.handle_websocket_upgrade()
            else:
                self._read_on()
                self.data_received(data[pause.args[0] :])

    def _read_on(self) -> None:
        """Put a parser in place that stands where the old one stopped: behind these headers, before the body."""
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn's own
        framing = [name + b": " + value + b"\r\n" for name, value in self.headers if name in _FRAMING]
        self._is_repeating = True
        try:
            self.parser.feed_data(b"POST / HTTP/1.1\r\n" + b"".join(framing) + b"\r\n")
        finally:
            self._is_repeating = False

    def on_message_begin(self) -> None:
        if not self._is_repeating:
            super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        if not self._is_repeating:
            super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._is_repeating:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        if not self._is_repeating:
            super().on_headers_complete()

    def on_message_complete(self) -> None:
        if not self.parser.should_upgrade() or self._should_upgrade():
            super().on_message_complete()


class RefusableProtocol(WebSocketsSansIOProtocol):
    """Takes a handshake that was answered with a refusal for answered.

    uvicorn's logs an error for each ("returned without completing handshake") until the connection is gone.
    """

    async def send(self, message: Any) -> None:
        await super().send(message)
        if self.close_sent:
            self.handshake_complete = True

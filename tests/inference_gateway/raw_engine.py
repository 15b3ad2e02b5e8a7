"""An engine whose bytes are written in the test: for what no well-behaved engine sends."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Awaitable, Callable
from typing import Any

from tests.inference_gateway.serving_thread import ServingThread

Script = Callable[["Turn"], Awaitable[None]]

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


class Turn:
    """One question that came, and the connection to answer it on."""

    def __init__(self, body: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        self.body = body
        self.head = b""
        self.number = number
        self._reader = reader
        self._writer = writer

    @property
    def fields(self) -> dict[str, Any]:
        fields: dict[str, Any] = json.loads(self.body)
        return fields

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def send_chunk(self, data: bytes) -> None:
        """A piece of a chunked answer; an empty one ends it."""
        await self.send(b"%x\r\n%b\r\n" % (len(data), data))

    async def send_json(self, value: object, status: str = "200 OK", headers: str = "") -> None:
        data = json.dumps(value).encode()
        head = f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\n{headers}content-length: {len(data)}\r\n\r\n"
        await self.send(head.encode() + data)

    async def wait_closed(self) -> None:
        """Until the asker has dropped the connection."""
        while await self._reader.read(65536):
            pass

    def end(self) -> None:
        """Close the connection behind what was sent."""
        self._writer.close()

    def drop(self) -> None:
        """Close it as a program that was killed does."""
        self._writer.transport.abort()


class RawEngine(ServingThread):
    """Answers every question by ``script``. ``connections`` counts those accepted, ``turns`` what was asked."""

    def __init__(self, script: Script, tls: ssl.SSLContext | None = None) -> None:
        super().__init__()
        self.script = script
        self.tls = tls
        self.port = 0
        self.connections = 0
        self.turns: list[Turn] = []
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=self.tls)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        await self._end_turns()

    async def _end_turns(self) -> None:
        turns = asyncio.all_tasks() - {asyncio.current_task()}
        for turn in turns:
            turn.cancel()
        await asyncio.gather(*turns, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while (head := await reader.readuntil(b"\r\n\r\n")) is not None:
                if head.startswith(b"GET "):
                    await Turn(b"", reader, writer, 0).send_json({"data": [{"id": "served-name"}]})
                    continue
                length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
                turn = Turn(await reader.readexactly(length), reader, writer, len(self.turns))
                turn.head = head
                self.turns.append(turn)
                await self.script(turn)
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            pass
        finally:
            writer.transport.abort()

"""One connection to an engine, kept from answer to answer, and the answer that is under way on it (``upstream``)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol, cast

import httptools

from inference_gateway.heads import Heads, Known
from inference_gateway.likeness import Likeness, Repeating

#: What lies here unread before the engine is made to wait, so that a slow caller costs no memory.
MOST_UNREAD_BYTES = 64 * 1024
MOST_HEADER_BYTES = 64 * 1024

Headers = list[tuple[bytes, bytes]]
Address = tuple[str, int]
#: Is given what came where a chunk of chunked coding begins; whether it has taken it. It may take what ``find_data``
#: knows for one whole chunk, and nothing else.
TakeChunk = Callable[[bytes], bool]
#: How long the line before a chunk's data may be for a look at it: chunks of 1 MiB and more are no tokens.
MOST_SIZE_LINE = 7


class UpstreamError(Exception):
    """The answer did not come whole. The message says what happened, in words that follow a colon."""


class UnreachableError(UpstreamError):
    """Nobody has got the question."""


class Pool(Protocol):
    """Where a connection belongs. ``all`` has those that are open."""

    loop: asyncio.AbstractEventLoop
    all: set[Connection]

    def give_back(self, connection: Connection) -> None:
        """It has brought an answer, and is free again."""


class Answer:
    """One answer: its head, and its body as it comes."""

    __slots__ = ("_connection", "headers", "status")

    def __init__(self, connection: Connection, status: int, headers: Headers) -> None:
        self._connection: Connection | None = connection
        self.status = status
        self.headers = headers

    @property
    def is_whole(self) -> bool:
        """Whether nothing more comes: the next ``read`` gives what is left, and the one after it nothing."""
        return self._connection is None or self._connection.is_complete

    def find(self, name: bytes) -> bytes | None:
        """The value of the first header of that lower-case name."""
        return next((value for key, value in self.headers if key == name), None)

    async def read(self) -> bytes:
        """What has come since the last time, as soon as there is something; empty at the end.

        Raises UpstreamError where the answer breaks off.
        """
        return b"" if self._connection is None else await self._connection.read()

    def pour(self, sink: Callable[[bytes], None], take_chunk: TakeChunk | None = None) -> asyncio.Future[None]:
        """From now on give to ``sink`` what comes, at once and in the order it came; the future is done at the end.

        What begins with a chunk of chunked coding is offered to ``take_chunk`` first, as it is. Both are called from
        the event loop and must not fail. The future has an UpstreamError where the answer breaks off.
        """
        connection = self._connection
        assert connection is not None
        return connection.pour(sink, take_chunk)

    def repeat(self, likeness: Likeness | None, out: asyncio.WriteTransport) -> None:
        """Of what is poured, give chunks like that to ``out``, and neither to ``take_chunk`` nor to ``sink``: until the
        sink is given something, or this is called again. For ``take_chunk`` to call, of a chunk that it takes.
        """
        if self._connection is not None and likeness is not None:
            self._connection.repeat(likeness, out)
        elif self._connection is not None:
            self._connection.end_repeating()

    def take_repeats(self) -> int:
        """How many went there since the last time."""
        return 0 if self._connection is None else self._connection.take_repeats()

    def pause(self) -> None:
        """Take no more of it for now: the engine waits."""
        if self._connection is not None:
            self._connection.pause()

    def resume(self) -> None:
        """Go on after ``pause``. Twice is fine."""
        if self._connection is not None:
            self._connection.resume()

    def close(self) -> None:
        """Done with it. A connection whose answer was read to its end is kept; any other is dropped, which is what
        stops the engine. Twice is fine.
        """
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.release()


#: One process's, of answers.
HEADS = Heads()


def find_data(chunk: bytes) -> int:
    """Where the data of a whole chunk of chunked coding begin; 0 for what is not just one, or is the last. Pure."""
    end = chunk.find(b"\r\n", 0, MOST_SIZE_LINE)
    size = len(chunk) - end - 4  # of an empty one, which is the last, the parser must know
    is_whole = end > 0 < size and chunk[:end] == b"%x" % size and chunk.endswith(b"\r\n")
    return end + 2 if is_whole else 0


class StaleError(Exception):
    """A kept connection was lost before a byte of the answer came."""


class _SurplusError(Exception):
    """Ends the parser's work: what comes is more than an answer."""


class Connection(Repeating):
    """One connection, with at most one answer under way. ``status`` is 0 until its head is here."""

    __slots__ = (
        "_has_bytes", "_has_length", "_header_bytes", "_headers", "_is_between_chunks", "_is_busy", "_is_kept",
        "_is_paused", "_known", "_loop", "_lost", "_may_keep", "_misses", "_parser", "_pieces", "_pool", "_poured",
        "_sink", "_take_chunk", "_transport", "_unread", "_waiter", "_watcher", "address", "idle_since", "is_complete",
        "status",
    )  # fmt: skip

    def __init__(self, pool: Pool, address: Address) -> None:
        super().__init__()
        self.address = address
        self.idle_since = 0.0
        self.is_complete = False
        self._pool = pool
        self._loop = pool.loop
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._watcher: Callable[[], object] | None = None
        self._sink: Callable[[bytes], None] | None = None
        self._take_chunk: TakeChunk | None = None
        self._is_between_chunks = False
        self._poured: asyncio.Future[None] | None = None
        self._pieces: list[bytes] = []
        self._unread = 0
        self._is_paused = False
        self._headers: Headers = []
        #: The head of an answer that came at once, and how many came since that had another.
        self._known: Known | None = None
        self._misses = 0
        self._header_bytes = 0
        self.status = 0
        self._has_length = False
        self._may_keep = False
        self._is_busy = False
        self._has_bytes = False
        self._is_kept = False
        self._lost: str | None = None

    @property
    def is_usable(self) -> bool:
        return self._transport is not None and not self._transport.is_closing() and self._lost is None

    def send(self, request: bytes, watcher: Callable[[], object] | None = None) -> None:
        """Send it; ``hear`` goes on from there.

        A ``watcher`` is called whenever there is more to see, until it is taken off with ``unwatch``.
        """
        assert self._transport is not None
        self.status, self._headers, self._header_bytes = 0, [], 0
        self.is_complete = self._has_bytes = self._has_length = self._is_between_chunks = False
        self._is_busy = True
        self._watcher = watcher
        self._transport.write(request)

    def unwatch(self) -> None:
        self._watcher = None

    @property
    def is_here(self) -> bool:
        """Whether a whole answer came; ``take`` gives its body."""
        return self.is_complete and self._lost is None

    @property
    def is_odd(self) -> bool:
        """Whether it is lost, refused, or longer than what is held here."""
        return self._lost is not None or self.status not in (0, 200) or self._unread > MOST_UNREAD_BYTES

    async def hear(self) -> Answer:
        """Wait for the head."""
        try:
            while not self.status:
                if self._lost is not None:
                    if self._is_kept and not self._has_bytes:
                        raise StaleError
                    raise UpstreamError(self._lost)
                await self._wait()
        except BaseException:
            self.abort()
            raise
        return Answer(self, self.status, self._headers)

    async def read(self) -> bytes:
        while True:
            if self._pieces:
                data = self.take()
                self.resume()
                return data
            if self.is_complete:
                return b""
            if self._lost is not None:
                raise UpstreamError(self._lost)
            await self._wait()

    def pour(self, sink: Callable[[bytes], None], take_chunk: TakeChunk | None = None) -> asyncio.Future[None]:
        self._sink, self._take_chunk = sink, take_chunk
        self._poured = self._loop.create_future()
        self.resume()  # much may have come with the head; the sink pauses again where it must
        self._spill()
        return self._poured

    def pause(self) -> None:
        if not self._is_paused and not self.is_complete and self.is_usable:
            self._is_paused = True
            cast(asyncio.Transport, self._transport).pause_reading()

    def resume(self) -> None:
        if self._is_paused:
            self._is_paused = False
            if self.is_usable:
                cast(asyncio.Transport, self._transport).resume_reading()

    def release(self) -> None:
        self._sink = self._poured = self._take_chunk = None
        self.end_repeating()
        if self.is_complete and not self._pieces and self.is_usable and self._may_keep:
            self._is_busy = False
            self._is_kept = True
            self._pool.give_back(self)
        else:
            self.abort()

    def abort(self) -> None:
        self._lost = self._lost or "the connection was dropped"
        self._pieces.clear()
        if self._transport is not None:
            self._transport.abort()

    async def _wait(self) -> None:
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def take(self) -> bytes:
        """What has come of the body and was not taken yet."""
        data = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces.clear()
        self._unread = 0
        return data

    def _spill(self) -> None:
        """Give the sink what is here, and say when there is no more."""
        sink, poured = self._sink, self._poured
        if sink is None or poured is None or poured.done():
            return
        if self._pieces:
            sink(self.take())
        if self.is_complete:
            poured.set_result(None)
        elif self._lost is not None:
            poured.set_exception(UpstreamError(self._lost))

    def _wake(self) -> None:
        if self._watcher is not None:
            self._watcher()
        elif self._sink is not None:
            self._spill()
        elif self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _fail(self, what: str) -> None:
        self._lost = self._lost or what
        if self._transport is not None:
            self._transport.abort()
        self._wake()

    # asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._pool.all.add(self)

    def receive(self, data: bytes) -> None:
        if self._is_between_chunks and self._take_chunk is not None and self._take_chunk(data):
            return  # the parser stands between two chunks: it misses nothing by not seeing a whole one
        if self._out is not None:
            self.end_repeating()
        if not self._is_busy:
            self._fail("it spoke without being asked")
            return
        is_first, self._has_bytes = not self._has_bytes, True
        if is_first and self._known is not None and self._take_known(self._known, data):
            self._wake()
            return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._fail("what it sent is no HTTP")
            return
        if is_first and self.is_complete and self._may_keep and self.status == 200:
            self._misses += 1
            self._known = HEADS.learn(data, self._headers, self._misses) or self._known
        if not data.endswith(b"\r\n"):
            self._is_between_chunks = False  # a part of the next one's first line may have come
        self._wake()
        if self._unread > MOST_UNREAD_BYTES:
            self.pause()

    def _take_known(self, known: Known, data: bytes) -> bool:
        """Whether it is a whole answer with the head of the last one, but for its length: nothing is left to parse."""
        body = known.find_body(data)
        if body is None:
            return False
        self.on_body(body)
        self._headers, self.status, self._misses = known.make_headers(len(body)), 200, 0
        self._has_length = self._may_keep = self.is_complete = True
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self._pool.all.discard(self)
        if exc is None and self.status and not self._has_length and not self.is_complete and self._lost is None:
            self.is_complete = True  # an answer without a length ends with its connection
        self._lost = self._lost or "the connection to it was lost"
        self._wake()

    # The parser's side

    def on_message_begin(self) -> None:
        if self.is_complete:  # a second answer to one question: it is not read
            raise _SurplusError

    def on_header(self, name: bytes, value: bytes) -> None:
        self._header_bytes += len(name) + len(value)
        if self._header_bytes > MOST_HEADER_BYTES:
            raise _SurplusError
        name = name.lower()
        self._has_length = self._has_length or name in (b"content-length", b"transfer-encoding")
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status >= 200:
            self.status = status
            self._may_keep = self._parser.should_keep_alive()
        else:  # 100 and its like come before the answer
            self._headers, self._header_bytes, self._has_length = [], 0, False

    def on_chunk_header(self) -> None:
        self._is_between_chunks = False

    def on_chunk_complete(self) -> None:
        self._is_between_chunks = True

    def on_body(self, body: bytes) -> None:
        self._pieces.append(body)
        self._unread += len(body)

    def on_message_complete(self) -> None:
        self.is_complete = self.status != 0
        self._is_between_chunks = False

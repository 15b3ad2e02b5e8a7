"""An engine that pretends: OpenAI's API on raw sockets, as cheap as Python allows, told by each question how to behave.

    PORT=8000 python bench/gateway/fake_engine.py [--port 8000] [--keep-alive 75] [--slots 0]

Words of the question, wherever they stand in its body, are the orders (``Plan``):

    tokens=64 gap=20 delay=100      so many tokens, each 20 ms after the one before, the first after 100 ms
    rst=5 | stall=5 | close=5       after 5 tokens: reset the connection, fall silent, end it cleanly but early
    status=503                      that error at once, in OpenAI's shape
    nodone=1                        all tokens, then a clean end without ``data: [DONE]``

Tokens are ``w0 w1 w2 …``, so what arrives shows what was lost, doubled or moved. Token k is due at
``began + delay + k * gap`` on the clock, however late the ones before it were. With ``--slots`` only so many answers
that take time are written at once; others wait their turn, as in an engine's own queue. ``/stats`` says how many have
begun or wait, and when those that their caller gave up were ended (``time.monotonic``, the same in all processes).
SIGTERM ends it once what it has begun is written.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import signal
import socket
import struct
import time
from collections import deque
from dataclasses import dataclass
from typing import cast

ORDER = re.compile(rb"\b(tokens|gap|delay|rst|stall|close|status|nodone)=(\d+)")
STREAMED = re.compile(rb'"stream":\s*true')
CHUNK = (
    b'data: {"id":"chatcmpl-0","object":"chat.completion.chunk","created":1,"model":"bench",'
    b'"choices":[{"index":0,"delta":{%s},"logprobs":null,"finish_reason":%s}]}\n\n'
)
STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n"
    b"Cache-Control: no-cache\r\nTransfer-Encoding: chunked\r\n\r\n"
)
LARGEST_BODY_BYTES = 64 * 1024 * 1024
REMEMBERED = 10_000


@dataclass(frozen=True, slots=True)
class Plan:
    """What one question orders; times in milliseconds, -1 for a fault that is not asked for."""

    tokens: int = 16
    gap: int = 0
    delay: int = 0
    rst: int = -1
    stall: int = -1
    close: int = -1
    status: int = 200
    nodone: int = 0

    @property
    def stops_at(self) -> int:
        """After how many tokens something happens: the end, or a fault."""
        return min((n for n in (self.tokens, self.rst, self.stall, self.close) if n >= 0), default=self.tokens)


def parse_plan(body: bytes) -> Plan:
    return Plan(**{name.decode(): int(value) for name, value in ORDER.findall(body)})


def frame(data: bytes) -> bytes:
    """A chunk of HTTP's chunked coding."""
    return b"%x\r\n%s\r\n" % (len(data), data)


def token_frame(number: int) -> bytes:
    return frame(CHUNK % (b'"content":"w%d "' % number, b"null"))


FIRST = frame(CHUNK % (b'"role":"assistant","content":""', b"null"))
TOKENS = [token_frame(number) for number in range(4096)]


def end_frames(plan: Plan) -> bytes:
    usage = {"prompt_tokens": 20, "completion_tokens": plan.tokens, "total_tokens": 20 + plan.tokens}
    about = b'data: {"id":"chatcmpl-0","object":"chat.completion.chunk","created":1,"model":"bench","choices":[],'
    end = frame(CHUNK % (b"", b'"stop"')) + frame(about + b'"usage":%s}\n\n' % json.dumps(usage).encode())
    return end + (b"" if plan.nodone else frame(b"data: [DONE]\n\n")) + b"0\r\n\r\n"


def unary_answer(plan: Plan) -> bytes:
    text = "".join(f"w{number} " for number in range(plan.tokens))
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 20, "completion_tokens": plan.tokens, "total_tokens": 20 + plan.tokens}
    about = {"id": "chatcmpl-0", "object": "chat.completion", "created": 1, "model": "bench"}
    return json_answer(200, about | {"choices": [choice], "usage": usage})


def json_answer(status: int, value: object) -> bytes:
    body = json.dumps(value).encode()
    head = f"HTTP/1.1 {status} Told\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


class Stats:
    """Counted over the engine's life."""

    def __init__(self) -> None:
        self.live = 0
        self.answered = 0
        self.cancelled_at: list[float] = []
        self.connections: set[EngineConnection] = set()
        self.is_ending = False
        self.has_lost = asyncio.Event()

    def as_json(self) -> dict[str, object]:
        return {
            "pid": os.getpid(),
            "live": self.live,
            "answered": self.answered,
            "cancelled": len(self.cancelled_at),
            "cancelled_at": self.cancelled_at[-REMEMBERED:],
        }


class Slots:
    """How many answers are written at once; ``count`` 0: any number. Who comes first is served first."""

    def __init__(self, count: int) -> None:
        self._is_bounded = count > 0
        self._free = count
        self._waiting: deque[EngineConnection] = deque()

    def take(self, connection: EngineConnection) -> None:
        """Calls ``connection.write`` now, or once it is its turn."""
        if not self._is_bounded:
            connection.write()
        elif self._free:
            self._free -= 1
            connection.write()
        else:
            self._waiting.append(connection)

    def give(self, connection: EngineConnection) -> None:
        """``connection`` wants its slot no more, whether it has had one or waits."""
        if connection in self._waiting:
            self._waiting.remove(connection)
        elif self._waiting:
            self._waiting.popleft().write()
        elif self._is_bounded:
            self._free += 1


class EngineConnection(asyncio.Protocol):
    """One connection of a caller; its questions are answered one after the other."""

    _unary: dict[Plan, bytes] = {}

    def __init__(self, stats: Stats, slots: Slots, keep_alive_seconds: float) -> None:
        self._stats = stats
        self._slots = slots
        self._keep_alive_seconds = keep_alive_seconds
        self._loop = asyncio.get_running_loop()
        self._buffer = bytearray()
        self._timer: asyncio.TimerHandle | None = None
        self._idle: asyncio.TimerHandle | None = None
        self._plan: Plan | None = None  # of the answer being written
        self._is_stream = False
        self._sent = 0
        self._due = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by its class
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._stats.connections.add(self)
        self._wait_for_more()

    def connection_lost(self, error: Exception | None) -> None:
        self._stats.connections.discard(self)
        self._stats.has_lost.set()
        for timer in (self._timer, self._idle):
            if timer is not None:
                timer.cancel()
        if self._plan is not None:
            self._end_plan()
            self._stats.cancelled_at.append(time.monotonic())

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if self._plan is None:
            self._take()

    def _wait_for_more(self) -> None:
        if self._stats.is_ending:
            self._transport.close()
        elif self._keep_alive_seconds > 0:
            if self._idle is not None:
                self._idle.cancel()
            self._idle = self._loop.call_later(self._keep_alive_seconds, self.close_idle)

    def close_idle(self) -> None:
        """Close it unless an answer is being written."""
        if self._plan is None:
            self._transport.close()

    def _take(self) -> None:
        """Answer what has arrived whole, until an answer takes time."""
        while self._plan is None and (found := take_request(self._buffer)) is not None:
            line, body = found
            if line.startswith(b"POST"):
                self._begin(parse_plan(body), is_stream=STREAMED.search(body) is not None)
            elif b"/stats" in line:
                self._transport.write(json_answer(200, self._stats.as_json()))
            elif b"/models" in line:
                model = {"id": "bench", "object": "model", "created": 1, "owned_by": "bench", "max_model_len": 8192}
                self._transport.write(json_answer(200, {"object": "list", "data": [model]}))
            else:  # /health, /get_server_info and whatever routers ask before they begin
                self._transport.write(json_answer(200, {"status": "ok", "model_path": "bench"}))
        if self._plan is None:
            self._wait_for_more()

    def _begin(self, plan: Plan, *, is_stream: bool) -> None:
        if plan.status != 200:
            error = {"message": f"Told to answer {plan.status}.", "type": "server_error", "code": plan.status}
            self._transport.write(json_answer(plan.status, {"error": error}))
            return
        if is_stream and plan.gap == 0 and plan.delay == 0 and plan.stops_at == plan.tokens:
            self._stats.answered += 1
            self._transport.write(STREAM_HEAD + FIRST + b"".join(map(token_of, range(plan.tokens))) + end_frames(plan))
            return
        if not is_stream and plan.delay == 0 and plan.gap == 0:
            self._answer_unary(plan)
            return
        self._plan, self._sent, self._is_stream = plan, 0, is_stream
        self._stats.live += 1
        self._slots.take(self)

    def write(self) -> None:
        """Begin the answer that ``_plan`` describes; ``Slots`` says when."""
        plan = self._plan
        assert plan is not None
        wait = plan.delay if self._is_stream else plan.delay + plan.gap * plan.tokens
        self._due = self._loop.time() + wait / 1000
        if self._is_stream:
            self._transport.write(STREAM_HEAD + FIRST)
        self._timer = self._loop.call_at(self._due, self._tick if self._is_stream else self._end_unary)

    def _end_plan(self) -> None:
        self._plan = None
        self._stats.live -= 1
        self._slots.give(self)

    def _answer_unary(self, plan: Plan) -> None:
        if len(self._unary) > 100:
            self._unary.clear()
        answer = self._unary.get(plan)
        if answer is None:
            answer = self._unary[plan] = unary_answer(plan)
        self._stats.answered += 1
        self._transport.write(answer)

    def _end_unary(self) -> None:
        assert self._plan is not None
        plan = self._plan
        self._end_plan()
        self._answer_unary(plan)
        self._take()

    def _tick(self) -> None:
        """Write the token that is due, then wait for the next; at the end what the plan says."""
        plan = self._plan
        assert plan is not None
        if self._sent < plan.stops_at:
            self._transport.write(token_of(self._sent))
            self._sent += 1
            self._due += plan.gap / 1000
            self._timer = self._loop.call_at(self._due, self._tick)
            return
        if self._sent == plan.stall:
            return  # until the caller gives up
        self._end_plan()
        if self._sent == plan.rst:
            linger = struct.pack("ii", 1, 0)
            self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self._transport.abort()
        elif self._sent == plan.close:
            self._transport.close()
        else:
            self._stats.answered += 1
            self._transport.write(end_frames(plan))
            self._take()


def token_of(number: int) -> bytes:
    return TOKENS[number] if number < len(TOKENS) else token_frame(number)


def take_request(buffer: bytearray) -> tuple[bytes, bytes] | None:
    """Cut the first whole request off ``buffer``: its first line and its body. None: more is to come."""
    end = buffer.find(b"\r\n\r\n")
    if end < 0:
        return None
    head = bytes(buffer[:end]).lower()
    line = bytes(buffer[: buffer.find(b"\r\n")])
    begins = end + 4
    if b"transfer-encoding: chunked" in head:
        ends = buffer.find(b"0\r\n\r\n", begins)
        if ends < 0:
            return None
        body = bytes(buffer[begins:ends])  # with the sizes of its chunks: orders are found all the same
        del buffer[: ends + 5]
        return line, body
    at = head.find(b"\r\ncontent-length:")
    length = int(head[at + 17 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
    if length > LARGEST_BODY_BYTES:
        raise ValueError(f"a body of {length} bytes")
    if len(buffer) < begins + length:
        return None
    body = bytes(buffer[begins : begins + length])
    del buffer[: begins + length]
    return line, body


async def serve(port: int, keep_alive_seconds: float, slot_count: int) -> None:
    loop = asyncio.get_running_loop()
    stats, slots = Stats(), Slots(slot_count)
    server = await loop.create_server(
        lambda: EngineConnection(stats, slots, keep_alive_seconds), "127.0.0.1", port, backlog=4096
    )
    is_told = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, is_told.set)
    await is_told.wait()
    server.close()
    stats.is_ending = True
    for connection in list(stats.connections):
        connection.close_idle()
    while stats.connections:
        stats.has_lost.clear()
        await stats.has_lost.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=int(os.environ.get("PORT", "8000")))
    parser.add_argument("--keep-alive", type=float, default=75.0, help="seconds; 0 for ever")
    parser.add_argument("--slots", type=int, default=0, help="answers written at once; 0 for any number")
    options = parser.parse_args()
    try:
        import uvloop  # optional: an interpreter without it serves tests of faults as well
    except ImportError:
        asyncio.run(serve(options.port, options.keep_alive, options.slots))
    else:
        uvloop.run(serve(options.port, options.keep_alive, options.slots))


if __name__ == "__main__":
    main()

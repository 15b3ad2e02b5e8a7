"""An instance that is gone without a word: its network is cut in the middle of an answer, and nobody says so."""

from __future__ import annotations

import asyncio
import ipaddress
import os
import shutil
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass

import aiohttp
import pytest

from inference_gateway import dead_peers
from inference_gateway.carried_session import open_passthrough_session
from inference_gateway.chat import ChatError, ChatRequest
from inference_gateway.engines.openai_http import OpenAiEngine, open_session
from inference_gateway.upstream import Upstream, render_request
from inference_gateway.upstream_connection import UpstreamError
from tests.waiting import stretch

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("ip") is None, reason="a network of its own takes root and the program ip"
)

#: Of the machine and of the instance: this process's own, in the range for tests of networks (RFC 2544).
_BLOCK = ipaddress.ip_network("198.18.0.0/16").network_address + os.getpid() % 2**14 * 4
HERE, THERE = str(_BLOCK + 1), str(_BLOCK + 2)
PORT = 8000
#: Begins a stream, and then says nothing.
ENGINE = f"""
import asyncio
EVENT = b'data: {{"choices":[{{"index":0,"delta":{{"content":"word "}}}}]}}\\n\\n'
async def serve(reader, writer):
    await reader.readuntil(b"\\r\\n\\r\\n")
    writer.write(b"HTTP/1.1 200 OK\\r\\nContent-Type: text/event-stream\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n")
    writer.write(b"%x\\r\\n%b\\r\\n" % (len(EVENT), EVENT))
    await asyncio.sleep(3600)
async def main():
    server = await asyncio.start_server(serve, "{THERE}", {PORT})
    print("ready", flush=True)
    await server.serve_forever()
asyncio.run(main())
"""


@dataclass(frozen=True)
class Network:
    name: str
    link: str

    def cut(self) -> None:
        run("ip", "link", "set", self.link, "down")


def run(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True, timeout=30)


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Iterator[Network]:
    """The engine, behind a link that can be cut; and less patience than usual."""
    for name in ("IDLE_SECONDS", "ASK_SECONDS", "ASKED"):
        monkeypatch.setattr(dead_peers, name, 1)
    made = Network(f"slipway-{os.getpid()}", f"sw{os.getpid()}")
    run("ip", "netns", "add", made.name)
    engine = None
    try:
        run("ip", "link", "add", made.link, "type", "veth", "peer", "name", "eth0", "netns", made.name)
        run("ip", "addr", "add", f"{HERE}/30", "dev", made.link)
        run("ip", "link", "set", made.link, "up")
        run("ip", "-n", made.name, "addr", "add", f"{THERE}/30", "dev", "eth0")
        run("ip", "-n", made.name, "link", "set", "eth0", "up")
        command = ("ip", "netns", "exec", made.name, sys.executable, "-c", ENGINE)
        engine = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert engine.stdout is not None
        assert engine.stdout.readline() == b"ready\n"
        yield made
    finally:
        if engine is not None:
            engine.kill()
            engine.communicate()
        # A namespace lives on for as long as a socket in it does, and its link with it.
        subprocess.run(["ip", "link", "delete", made.link], check=False, capture_output=True)
        run("ip", "netns", "delete", made.name)


async def relayed(cut: Callable[[], None]) -> None:
    upstream = Upstream()
    try:
        answer = await upstream.ask((THERE, PORT), render_request("/v1/chat/completions", (THERE, PORT), b"{}"))
        assert await answer.read()
        cut()
        with pytest.raises(UpstreamError):
            await answer.read()
    finally:
        upstream.close()


async def asked(cut: Callable[[], None]) -> None:
    request = ChatRequest(messages=({"role": "user", "content": "Hi"},))
    async with open_session() as session:
        events = OpenAiEngine(session, f"http://{THERE}:{PORT}").generate(request)
        await anext(events)
        cut()
        with pytest.raises(ChatError) as raised:
            await anext(events)
    assert raised.value.status in (502, 504)


async def carried(cut: Callable[[], None]) -> None:
    async with open_passthrough_session() as session, session.get(f"http://{THERE}:{PORT}/") as response:
        assert await response.content.readany()
        cut()
        with pytest.raises((aiohttp.ClientError, TimeoutError)):
            await response.content.readany()


@pytest.mark.parametrize("way", [relayed, asked, carried])
async def test_an_answer_of_an_instance_that_is_gone_ends(
    way: Callable[[Callable[[], None]], Awaitable[None]], network: Network
) -> None:
    async with asyncio.timeout(30 * stretch()):
        await way(network.cut)

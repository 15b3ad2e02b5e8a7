"""A server that is killed under many streams: each of them comes again as far as it was stored."""

from __future__ import annotations

import asyncio
import contextlib

import httpx
import pytest

from tests.inference_gateway.resuming_rig import QUESTION, generation_url, policy
from tests.inference_gateway.rig import Deployed, EndlessEngine, Server, deploy

STREAMS = 200
#: Of the engine, which writes one in 20 ms; a stored text is at most a tenth of a second behind on an idle machine.
EVENT = b'data: {"choices":[{"index":0,"delta":{"content":"word "}}]}\n\n'


@pytest.mark.timeout(180)
def test_every_stream_of_a_killed_server_comes_again(
    shared_server: Server, transactional_db: None, endless: EndlessEngine
) -> None:
    dying = Server()
    dying.start()
    try:
        service = deploy(dying, endless.port, **policy(60))
        got = asyncio.run(read_until_killed(dying, service))
        assert len(got) == STREAMS
        again = asyncio.run(read_again(shared_server, service, got))
    finally:
        dying.kill()
    for generation, text in got.items():
        stored, _, ending = again[generation].rpartition(b"data: ")
        assert b'"interrupted"' in ending
        assert stored == EVENT * (len(stored) // len(EVENT))
        # One that lost a little more than usual is a matter of the machine's load; one that lost most is not.
        assert len(stored) >= len(text) / 2, (len(stored), len(text))


async def read_until_killed(server: Server, service: Deployed) -> dict[str, bytes]:
    """What each caller has when the connection is gone, by the generation's id."""
    got: dict[str, bytes] = {}
    running = asyncio.Semaphore(0)

    async def read(client: httpx.AsyncClient) -> None:
        url = service.url + "/v1/chat/completions"
        with contextlib.suppress(httpx.TransportError):
            async with client.stream("POST", url, json=QUESTION, headers=service.auth) as response:
                generation = response.headers["x-slipway-generation"]
                got[generation] = b""
                async for piece in response.aiter_raw():
                    if not got[generation]:
                        running.release()
                    got[generation] += piece

    async with httpx.AsyncClient(timeout=60, limits=httpx.Limits(max_connections=STREAMS)) as client:
        readers = [asyncio.create_task(read(client)) for _ in range(STREAMS)]
        for _ in range(STREAMS):
            await running.acquire()
        await asyncio.sleep(2)  # so that there is something to lose
        server.kill()
        await asyncio.gather(*readers)
    return got


async def read_again(server: Server, service: Deployed, got: dict[str, bytes]) -> dict[str, bytes]:
    async with httpx.AsyncClient(timeout=60, limits=httpx.Limits(max_connections=STREAMS)) as client:
        urls = {key: generation_url(service, key, server) for key in got}
        answers = await asyncio.gather(*(client.get(url, headers=service.auth) for url in urls.values()))
    return dict(zip(urls, (one.content for one in answers), strict=True))

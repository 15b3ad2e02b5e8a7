"""WebSockets that a session signs in are opened by our own pages alone, and many idle ones cost nobody an answer.

Fault 30 of gateway.md §5.3. The rest of it, of the sockets that a token opens, is in ``test_gateway_chat_socket``; what
each of 10,000 costs is measured by ``bench/bench_gateway.py``.
"""

from __future__ import annotations

import asyncio

import pytest
from django.conf import settings
from websockets import Origin
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from bench.gateway.client import Target
from bench.gateway.dialogues import ask_each, open_many
from bench.gateway.loads import hang_up
from deployments.models import Role
from tests.inference_gateway.rig import Deployed, EndlessEngine, Server, deploy, resident_kib
from tests.inference_gateway.webchat_client import make_person, session_of
from tests.waiting import stretch

pytestmark = pytest.mark.timeout(120)
IDLE = 400
#: In the bench it is a fifth of it.
MOST_KIB = 200


def is_welcome(server: Server, path: str, session: str, origin: str | None) -> bool:
    headers = {"Cookie": f"{settings.SESSION_COOKIE_NAME}={session}"}
    address = f"ws://127.0.0.1:{server.port}{path}"
    try:
        with connect(address, origin=origin and Origin(origin), additional_headers=headers) as socket:  # type: ignore[arg-type]
            try:
                socket.recv(timeout=1)
            except TimeoutError:
                return True
            except ConnectionClosed:
                return False
            return True
    except InvalidStatus as refused:
        return refused.response.status_code not in (401, 403, 404)


@pytest.mark.parametrize(
    "origin",
    [None, "null", "https://evil.example", "http://127.0.0.1", "http://127.0.0.1.evil.example:80", "file://"],
)
def test_a_page_of_another_origin_opens_none_with_its_visitor_s_session(
    server: Server, words: Deployed, origin: str | None
) -> None:
    session = session_of(make_person("mia", words.row.workspace, Role.VIEWER))
    for path in (f"/ws/chat/{words.row.name}", "/ws/live"):
        assert is_welcome(server, path, session, server.url)
        assert not is_welcome(server, path, session, origin)


def test_hundreds_of_idle_sockets_take_little_memory_and_are_all_answered_after(
    server: Server, endless: EndlessEngine
) -> None:
    endless.ends_after = 1
    service = deploy(server, endless.port)
    target = Target(server.port, headers=service.auth)

    async def hold() -> tuple[int, float, int]:
        connections, let_in = await open_many(target, service.path, IDLE)
        memory = resident_kib(server)
        answered = await ask_each(connections, 10 * stretch())
        hang_up(connections)
        return let_in, memory, answered

    before = resident_kib(server)
    let_in, memory, answered = asyncio.run(hold())
    assert (let_in, answered, len(endless.asked)) == (IDLE, IDLE, IDLE)
    assert (memory - before) / IDLE < MOST_KIB

"""WebSockets that a session signs in are opened by our own pages alone. Fault 30 of gateway.md §5.3.

The rest of it, of the sockets that a token opens, is in ``test_gateway_chat_socket``.
"""

from __future__ import annotations

import pytest
from django.conf import settings
from websockets import Origin
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from deployments.models import Role
from tests.inference_gateway.rig import Deployed, Server
from tests.inference_gateway.webchat_client import make_person, session_of

pytestmark = pytest.mark.timeout(120)


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

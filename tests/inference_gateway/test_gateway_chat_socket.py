"""The WebSocket of pages in a browser: JSON messages, a token without a header, stop, bounds (docs/gateway.md).

Fault 30 of gateway.md §5.3 is here; of the sockets that a session opens, in ``test_faults_sockets``.
"""

from __future__ import annotations

import base64
import itertools
import json
from typing import Any

import httpx
import pytest
import websocket

from inference_gateway.authentication import read_token_protocols
from inference_gateway.models import Conversation, Turn
from tests.inference_gateway.rig import Deployed, EndlessEngine, Server, deploy
from tests.waiting import wait_until


@pytest.fixture
def words(server: Server, endless: EndlessEngine) -> Deployed:
    """A service that writes ``word`` again and again."""
    return deploy(server, endless.port)


def offers(service: Deployed, *more: str) -> list[str]:
    token = base64.urlsafe_b64encode(service.token.encode()).decode().rstrip("=")
    return ["slipway.chat", f"slipway.token.{token}", *more]


def connect(service: Deployed, *more: str, rest: str = "", **options: Any) -> websocket.WebSocket:
    """As a page does: no header, the token among the subprotocols."""
    address = service.url.replace("http", "ws") + rest
    options = {"subprotocols": offers(service, *more), "timeout": 20, **options}
    return websocket.create_connection(address, **options)


def say(connection: websocket.WebSocket, **message: Any) -> None:
    connection.send(json.dumps(message))


def hear(connection: websocket.WebSocket) -> dict[str, Any]:
    message: dict[str, Any] = json.loads(connection.recv())
    return message


def hear_until(connection: websocket.WebSocket, *kinds: str) -> list[dict[str, Any]]:
    """Messages up to the first of these kinds."""
    heard = [hear(connection)]
    while heard[-1]["type"] not in kinds:
        heard.append(hear(connection))
    return heard


def close_code(connection: websocket.WebSocket) -> int:
    """The code of the CLOSE that the server sends next, whatever comes before it."""
    while True:
        frame = connection.recv_frame()
        if frame.opcode == websocket.ABNF.OPCODE_CLOSE:
            return int.from_bytes(frame.data[:2], "big")


@pytest.mark.parametrize("rest", ["", "/v1/chat/completions"])
def test_a_question_is_answered_in_chunks_and_the_next_one_goes_on(
    words: Deployed, endless: EndlessEngine, rest: str
) -> None:
    endless.ends_after = 2
    page = connect(words, rest=rest)
    assert page.getsubprotocol() == "slipway.chat"
    session = hear(page)
    assert (session["type"], session["service"]) == ("session", words.row.name)
    say(page, type="ask", id="one", content="Grüß dich", max_tokens=5)
    heard = hear_until(page, "done")
    assert {message["id"] for message in heard} == {"one"}
    pieces = [message["chunk"]["choices"][0]["delta"].get("content", "") for message in heard[:-1]]
    assert ("".join(pieces), heard[-1]["finish_reason"]) == ("word word ", "stop")
    assert heard[0]["chunk"]["object"] == "chat.completion.chunk"
    say(page, type="ask", messages=[{"role": "user", "content": "And?"}], stream=False)
    whole, done = hear(page), hear(page)
    assert whole["completion"]["choices"][0]["message"]["content"] == "word word "
    assert (done["type"], "id" in done) == ("done", False)
    told = [message["content"] for message in endless.asked[1]["messages"]]
    assert told == ["Grüß dich", "word word ", "And?"]
    assert endless.asked[0]["max_tokens"] == 5
    assert not {"type", "id", "content"} & endless.asked[0].keys()
    page.close()
    assert Conversation.objects.get().pk.hex == session["conversation"].replace("-", "")


def test_the_token_comes_as_a_subprotocol_or_a_header_and_never_in_the_address(words: Deployed) -> None:
    by_header = connect(words, subprotocols=["slipway.chat"], header=[f"Authorization: Bearer {words.token}"])
    assert hear(by_header)["type"] == "session"
    by_header.close()
    wrong = base64.urlsafe_b64encode(b"wrong").decode().rstrip("=")
    refused: list[tuple[list[str], str, int]] = [
        (["slipway.chat"], "", 401),
        (["slipway.chat"], f"?token={words.token}&Authorization={words.token}", 401),
        (["slipway.chat", f"slipway.token.{wrong}"], "", 401),
        (["slipway.chat", "slipway.token.!"], "", 401),
        ([*offers(words), f"slipway.token.{wrong}"], "", 401),
        (offers(words)[1:], "", 400),
        ([*offers(words), "slipway.conversation.7"], "", 400),
    ]
    for subprotocols, query, status in refused:
        with pytest.raises(websocket.WebSocketBadStatusException) as refusal:
            connect(words, rest=query, subprotocols=subprotocols)
        assert refusal.value.status_code == status, (subprotocols, query)


@pytest.mark.parametrize("token", ["a", "ab?>", "dGVzdC10b2tlbg==", "x" * 100])
def test_a_token_is_read_from_base64url_with_and_without_its_padding(token: str) -> None:
    text = base64.urlsafe_b64encode(token.encode()).decode()
    for given in (text, text.rstrip("=")):
        assert read_token_protocols(["other", f"slipway.token.{given}"]) == [token.encode()]


def test_stop_ends_the_answer_and_the_dialogue_goes_on_from_what_was_said(
    words: Deployed, endless: EndlessEngine
) -> None:
    page = connect(words)
    say(page, type="ask", id="long", content="Write.")
    hear_until(page, "chunk")
    say(page, type="stop", id="another")  # is not under way: nothing happens
    hear_until(page, "chunk")
    say(page, type="stop", id="long")
    assert hear_until(page, "done")[-1]["finish_reason"] == "stopped"
    wait_until(lambda: endless.active == 0, "the engine stopped", 1.0)
    endless.ends_after = 1
    say(page, type="ask", content="Go on.")
    assert hear_until(page, "done")[-1]["finish_reason"] == "stop"
    told = [message["content"] for message in endless.asked[1]["messages"]]
    assert (told[0], told[1].startswith("word "), told[2]) == ("Write.", True, "Go on.")
    page.close()
    wait_until(lambda: Turn.objects.exclude(status="generating").count() == 2, "both are recorded", 5)
    assert list(Turn.objects.order_by("number").values_list("status", flat=True)) == ["stopped", "finished"]


def test_questions_are_answered_one_after_the_other_and_a_waiting_one_can_be_stopped(
    words: Deployed, endless: EndlessEngine
) -> None:
    page = connect(words)
    for key in ("a", "b", "c"):
        say(page, type="ask", id=key, content=key)
    hear_until(page, "chunk")
    assert endless.active == 1
    say(page, type="stop", id="b")
    endless.ends_after = 3
    say(page, type="stop", id="a")
    rest = [hear_until(page, "done") for _ in range(3)]
    assert [(part[-1]["id"], part[-1]["finish_reason"]) for part in rest] == [
        ("a", "stopped"),
        ("b", "stopped"),
        ("c", "stop"),
    ]
    assert [message["id"] for message in rest[2]] == ["c"] * len(rest[2])
    assert len(endless.asked) == 2


def test_stop_is_heard_in_eas_s_dialect_too(words: Deployed, endless: EndlessEngine) -> None:
    connection = connect(words, subprotocols=None, header=[f"Authorization: {words.token}"])
    connection.send("Write.")
    assert connection.recv() == "word "
    connection.send('{"type": "stop"}')
    assert next(text for text in iter(connection.recv, None) if text != "word ") == "<EOS>"
    wait_until(lambda: endless.active == 0, "the engine stopped", 1.0)
    endless.ends_after = 1
    connection.send("Go on.")
    assert [connection.recv(), connection.recv()] == ["word ", "<EOS>"]


@pytest.mark.parametrize(
    ("message", "key", "code"),
    [
        ("{", None, "invalid_json"),
        ('{"type": "dance", "id": "x"}', "x", "invalid_parameter"),
        ('{"id": "x", "content": "y"}', "x", "invalid_parameter"),
        ('{"type": "ask", "id": "x"}', "x", "invalid_parameter"),
        ('{"type": "ask", "id": 5, "content": "y"}', None, "invalid_parameter"),
        ('{"type": "ask", "id": "x", "content": "y", "temperature": 9}', "x", "invalid_parameter"),
        ('{"type": "ask", "content": "y", "content": "z"}', None, "invalid_json"),
    ],
)
def test_what_cannot_be_read_is_an_error_with_its_id_and_no_end(
    words: Deployed, endless: EndlessEngine, message: str, key: str | None, code: str
) -> None:
    endless.ends_after = 1
    page = connect(words)
    hear(page)
    page.send(message)
    error = hear(page)
    assert (error["type"], error.get("id"), error["error"]["code"]) == ("error", key, code)
    say(page, type="ask", content="x")
    assert hear_until(page, "done")[-1]["finish_reason"] == "stop"


def test_a_ping_may_come_as_a_message(words: Deployed) -> None:
    page = connect(words)
    hear(page)
    say(page, type="ping")
    assert hear(page) == {"type": "pong"}


def test_an_error_of_the_service_comes_in_openai_s_words(server: Server, endless: EndlessEngine) -> None:
    limit = {"gateway_policy": {"concurrency_limit": {"enable": True, "limit": 1}}}
    service = deploy(server, endless.port, networking=limit)
    busy, page = connect(service), connect(service)
    say(busy, type="ask", content="x")
    hear_until(busy, "chunk")
    hear(page)
    say(page, type="ask", id="q", content="x")
    error = hear(page)
    assert (error["id"], error["error"]["type"], error["error"]["code"]) == (
        "q",
        "rate_limit_error",
        "too_many_requests",
    )


def test_a_message_that_is_too_long_closes_with_1009(words: Deployed) -> None:
    for size in (1024 * 1024 + 1, 10_000_000):
        page = connect(words)
        hear(page)
        page.send("x" * size)
        assert close_code(page) == 1009


def test_fragments_without_end_close_with_1009(words: Deployed) -> None:
    page = connect(words)
    hear(page)
    piece = "x" * 1_000_000
    page.send_frame(websocket.ABNF.create_frame(piece, websocket.ABNF.OPCODE_TEXT, 0))
    try:
        for _ in range(40):
            page.send_frame(websocket.ABNF.create_frame(piece, websocket.ABNF.OPCODE_CONT, 0))
    except (OSError, websocket.WebSocketException):
        return  # closed while we went on sending
    assert close_code(page) == 1009


def test_text_that_is_not_utf_8_closes_with_1007(words: Deployed) -> None:
    page = connect(words)
    hear(page)
    page.send_frame(websocket.ABNF.create_frame(b"\xff\xfe", websocket.ABNF.OPCODE_TEXT))
    assert close_code(page) == 1007


def test_a_flood_of_pings_closes_with_1008_and_others_are_answered(words: Deployed, endless: EndlessEngine) -> None:
    endless.ends_after = 2
    flooding, page = connect(words), connect(words)
    hear(flooding)
    for number in itertools.count():
        try:
            flooding.ping(str(number))
        except OSError:
            break
        if number > 5000:
            break
    assert close_code(flooding) == 1008
    say(page, type="ask", content="x")
    assert hear_until(page, "done")[-1]["finish_reason"] == "stop"


def test_more_questions_than_may_wait_close_with_1008(words: Deployed) -> None:
    page = connect(words)
    for _ in range(80):
        say(page, type="ask", content="x")
    assert close_code(page) == 1008


def test_a_page_of_any_origin_may_speak_with_the_token_but_a_session_counts_for_nothing(words: Deployed) -> None:
    page = connect(words, origin="https://elsewhere.example")
    assert hear(page)["type"] == "session"
    page.close()
    with pytest.raises(websocket.WebSocketBadStatusException) as refusal:
        connect(words, subprotocols=["slipway.chat"], cookie="slipway_session=x")
    assert refusal.value.status_code == 401


def test_a_get_without_an_upgrade_is_told_the_right_way(words: Deployed) -> None:
    assert httpx.get(f"{words.url}/v1/chat/completions", headers=words.auth).status_code == 405

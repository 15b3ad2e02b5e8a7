"""Streamed answers that outlive their connection: the rest comes byte for byte, from wherever somebody stopped."""

from __future__ import annotations

import json
import re
import signal
import threading

import httpx
import pytest

from tests.inference_gateway.raw_engine import RawEngine, Turn
from tests.inference_gateway.resuming_rig import ID, QUESTION, WHOLE, Slow, ask, event, generation_url, policy, rest_of
from tests.inference_gateway.rig import Deployed, EndlessEngine, Server, deploy
from tests.waiting import wait_until

pytestmark = pytest.mark.backends


def test_the_rest_of_an_answer_comes_byte_for_byte_from_any_offset(
    server: Server, slow: tuple[Slow, RawEngine]
) -> None:
    script, engine = slow
    script.held_at = 20
    service = deploy(server, engine.port, **policy(30))
    generation, got = ask(service, events=3)
    assert WHOLE.startswith(got)
    script.go.set()
    middle_of_a_character = WHOLE.index("世".encode()) + 1
    for offset in (len(got), 0, 1, middle_of_a_character, len(event(0)), len(WHOLE) - 1, len(WHOLE)):
        response = rest_of(service, generation, offset)
        assert (response.status_code, response.content) == (200, WHOLE[offset:])
        assert response.headers["content-type"].startswith("text/event-stream")
        assert response.headers["x-slipway-generation"] == generation
    assert len(engine.turns) == 1


def test_two_readers_follow_a_running_answer_at_once(server: Server, slow: tuple[Slow, RawEngine]) -> None:
    script, engine = slow
    script.held_at = 10
    service = deploy(server, engine.port, **policy(30))
    generation, got = ask(service, events=2)
    found: dict[int, bytes] = {}
    readers = [
        threading.Thread(target=lambda at=at: found.update({at: rest_of(service, generation, at).content}))
        for at in (0, len(got))
    ]
    for reader in readers:
        reader.start()
    script.go.set()
    for reader in readers:
        reader.join(30)
    assert found == {0: WHOLE, len(got): WHOLE[len(got) :]}


def test_a_question_sent_again_with_the_last_events_id_gets_the_rest(
    server: Server, slow: tuple[Slow, RawEngine]
) -> None:
    script, engine = slow
    script.held_at = 20
    service = deploy(server, engine.port, **policy(30))
    accepts = {"Accept": "text/event-stream"}
    generation, got = ask(service, events=5, headers=accepts)
    whole_events = got[: got.rindex(b"\n\n") + 2]
    last = re.findall(rb"^id: (\S+)$", whole_events, re.MULTILINE)[-1].decode()
    assert last == f"{generation}.{len(whole_events)}"
    script.go.set()
    again = httpx.post(
        service.url + "/v1/chat/completions",
        json=QUESTION,
        headers=service.auth | accepts | {"Last-Event-ID": last},
        timeout=20,
    )
    by_id = httpx.get(generation_url(service, generation), headers=service.auth | {"Last-Event-ID": last}, timeout=20)
    assert again.content == by_id.content
    assert re.sub(rb"id: \S+\n", b"", whole_events + again.content) == WHOLE
    assert len(engine.turns) == 1


def test_without_a_time_of_grace_an_answer_has_an_id_and_ends_with_its_connection(
    server: Server, endless: EndlessEngine
) -> None:
    service = deploy(server, endless.port)
    generation, _ = ask(service, events=2)
    assert ID.fullmatch(generation)
    wait_until(lambda: endless.active == 0, "the engine is left alone", 1.0)
    assert rest_of(service, generation, 0).status_code == 404


def test_an_answer_that_nobody_asks_for_is_stopped_when_the_time_of_grace_is_over(
    server: Server, endless: EndlessEngine
) -> None:
    service = deploy(server, endless.port, **policy(1))
    generation, got = ask(service, events=2)
    assert endless.active == 1
    wait_until(lambda: endless.active == 0, "the engine is left alone", 3.0)
    response = rest_of(service, generation, len(got))
    assert json.loads(response.content.split(b"data: ")[-1])["error"]["code"] == "stopped"
    whole = rest_of(service, generation, 0)
    assert whole.content == got + response.content


def test_an_answer_whose_caller_leaves_before_it_begins_is_not_waited_for(server: Server) -> None:
    closed = threading.Event()

    async def say_nothing(turn: Turn) -> None:
        await turn.wait_closed()
        closed.set()

    with RawEngine(say_nothing) as engine:
        service = deploy(server, engine.port, **policy(60))
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(service.url + "/v1/chat/completions", json=QUESTION, headers=service.auth, timeout=1)
        wait_until(closed.is_set, "the engine is left alone", 1.0)


def test_an_answer_is_stopped_at_once_by_who_says_so_and_is_forgotten(server: Server, endless: EndlessEngine) -> None:
    service = deploy(server, endless.port, **policy(60))
    generation, _ = ask(service, events=2)
    assert httpx.delete(generation_url(service, generation), headers=service.auth).status_code == 204
    wait_until(lambda: endless.active == 0, "the engine is left alone", 1.0)
    assert rest_of(service, generation, 0).status_code == 404
    assert httpx.delete(generation_url(service, generation), headers=service.auth).status_code == 404


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("offset=x", 400, "offset_invalid"),
        ("offset=-1", 400, "offset_invalid"),
        ("offset=99999", 416, "offset_past_end"),
    ],
)
def test_a_wrong_offset_is_refused(server: Server, endless: EndlessEngine, query: str, status: int, code: str) -> None:
    endless.ends_after = 3
    service = deploy(server, endless.port, **policy(30))
    generation, _ = ask(service, events=5)
    url = generation_url(service, generation)
    wait_until(lambda: httpx.get(url, headers=service.auth).content.endswith(b"[DONE]\n\n"), "it has ended", 5)
    answer = httpx.get(f"{url}?{query}", headers=service.auth)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_another_process_follows_an_answer_and_keeps_it_going(server: Server, slow: tuple[Slow, RawEngine]) -> None:
    script, engine = slow
    script.held_at = 10
    service = deploy(server, engine.port, **policy(1))
    other = Server()
    other.start()
    try:
        generation, got = ask(service, events=2)
        found: list[bytes] = []
        reader = threading.Thread(target=lambda: found.append(rest_of(service, generation, len(got), other).content))
        reader.start()
        assert not script.closed.wait(4)  # much longer than the grace: somebody reads
        script.go.set()
        reader.join(30)
        assert found == [WHOLE[len(got) :]]
        assert rest_of(service, generation, 7, other).content == WHOLE[7:]
        stranger = deploy(server, engine.port, **policy(1))
        assert rest_of(stranger, generation, 0, other).status_code == 404
    finally:
        other.kill()


def test_another_process_stops_an_answer(server: Server, endless: EndlessEngine) -> None:
    service = deploy(server, endless.port, **policy(60))
    other = Server()
    other.start()
    try:
        generation, _ = ask(service, events=10)
        url = generation_url(service, generation, other)
        wait_until(lambda: httpx.delete(url, headers=service.auth).status_code == 204, "it is stored", 2)
        wait_until(lambda: endless.active == 0, "the engine is left alone", 1.0)
        wait_until(lambda: rest_of(service, generation, 0).status_code == 404, "it is forgotten", 2)
    finally:
        other.kill()


def test_after_a_kill_the_stored_text_comes_again_and_ends_as_interrupted(
    shared_server: Server, transactional_db: None, slow: tuple[Slow, RawEngine]
) -> None:
    script, engine = slow
    script.held_at = 30
    dying = Server()
    dying.start()
    try:
        service = deploy(dying, engine.port, **policy(60))
        generation, got = ask(service, events=30)
        # What came later than a tenth of a second before may be lost.
        wait_until(lambda: is_stored(shared_server, service, generation, len(got)), "it is stored", 5)
        dying.kill()
        dying.start()
        response = rest_of(service, generation, 0)
        text, _, ending = response.content.rpartition(b"data: ")
        assert text == b"".join(map(event, range(30)))
        assert json.loads(ending)["error"]["code"] == "interrupted"
        beyond = rest_of(service, generation, len(text) + 1000)
        assert beyond.content == b"data: " + ending
        for offset in (5, len(text)):
            assert rest_of(service, generation, offset).content == response.content[offset:]
    finally:
        dying.kill()


def is_stored(server: Server, service: Deployed, generation: str, count: int) -> bool:
    """Whether another process sees so many bytes of a running answer."""
    got = 0
    with httpx.stream("GET", generation_url(service, generation, server), headers=service.auth, timeout=2) as response:
        try:
            for piece in response.iter_raw():
                got += len(piece)
                if got >= count:
                    return True
        except httpx.ReadTimeout:
            return False
    return False


def test_a_server_that_ends_stores_an_answer_that_nobody_reads_as_interrupted(
    shared_server: Server, transactional_db: None, endless: EndlessEngine
) -> None:
    ending = Server()
    ending.start()
    try:
        service = deploy(ending, endless.port, **policy(60))
        generation, got = ask(service, events=5)
        assert ending.process is not None
        ending.process.send_signal(signal.SIGTERM)
        ending.process.wait(15)
        assert endless.active == 0
    finally:
        ending.kill()
    response = rest_of(service, generation, 0, shared_server)
    assert response.content.startswith(got)
    assert json.loads(response.content.split(b"data: ")[-1])["error"]["code"] == "interrupted"


def test_frames_of_eas_resume_by_their_bytes_and_say_what_interrupted_them(
    shared_server: Server, transactional_db: None, endless: EndlessEngine
) -> None:
    dying = Server()
    dying.start()
    try:
        service = deploy(dying, endless.port, **policy(60))
        generation, got = ask(service, events=5, path="", prompt="hello", use_stream_chat=True, end=b"\0")
        wait_until(lambda: is_stored(shared_server, service, generation, len(got)), "it is stored", 5)
        dying.kill()
        response = rest_of(service, generation, 0, shared_server)
        assert response.content.startswith(got)
        *_, before, last, nothing = response.content.split(b"\0")
        assert nothing == b""
        told = json.loads(last)
        assert told.pop("error")["code"] == "interrupted"
        assert told == json.loads(before)
    finally:
        dying.kill()


def test_anthropics_stream_resumes_too(server: Server, slow: tuple[Slow, RawEngine]) -> None:
    script, engine = slow
    script.held_at = 20
    service = deploy(server, engine.port, **policy(30))
    generation, got = ask(service, events=4, path="/v1/messages", max_tokens=10)
    script.go.set()
    whole = rest_of(service, generation, 0).content
    assert whole.startswith(got)
    assert whole.endswith(b'event: message_stop\ndata: {"type":"message_stop"}\n\n') or b"message_stop" in whole[-80:]
    assert rest_of(service, generation, len(got)).content == whole[len(got) :]


def test_while_valkey_is_away_answers_come_and_resume_in_their_own_process(
    shared_server: Server, transactional_db: None, slow: tuple[Slow, RawEngine]
) -> None:
    script, engine = slow
    script.held_at = 20
    alone = Server(REDIS_URL="redis://127.0.0.1:9/0")
    alone.start()
    try:
        service = deploy(alone, engine.port, **policy(30))
        generation, got = ask(service, events=3)
        script.go.set()
        assert rest_of(service, generation, len(got)).content == WHOLE[len(got) :]
        assert rest_of(service, "gen-" + 32 * "0", 0).status_code == 503
    finally:
        alone.kill()


def test_a_refusal_is_the_same_with_and_without_a_time_of_grace(server: Server) -> None:
    answers = [
        httpx.post(
            service.url + "/v1/chat/completions",
            json=QUESTION | {"stream": stream},
            headers=service.auth,
        )
        for service in (deploy(server), deploy(server, **policy(30)))
        for stream in (False, True)
    ]
    assert {(one.status_code, one.json()["error"]["code"]) for one in answers} == {(503, "no_healthy_upstream")}

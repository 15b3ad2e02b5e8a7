"""Which instances are passed over, and that no caller decides it. Fault 26 of gateway.md §5.3."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from inference_gateway.breaker import FAILURES_IN_A_ROW, LONGEST_SECONDS, SHORTEST_SECONDS, Breaker
from inference_gateway.directory import Route
from tests.clock import Clock
from tests.inference_gateway.asking import CHAT
from tests.inference_gateway.raw_engine import HEAD, RawEngine, Script, Turn
from tests.inference_gateway.rig import Deployed, Server, deploy
from tests.waiting import wait_until

pytestmark = pytest.mark.timeout(120)
FIRST, SECOND, THIRD = (Route(f"instance-{number}", "127.0.0.1", number, 1) for number in (1, 2, 3))
BOTH = (FIRST, SECOND)
STREAM = b'data: {"choices":[{"index":0,"delta":{"content":"x"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> Breaker:
    return Breaker(clock)


def fail(breaker: Breaker, *routes: Route) -> None:
    for route in routes:
        for _ in range(FAILURES_IN_A_ROW):
            breaker.note_failure(route.address)


def test_who_refuses_is_passed_over_at_once_and_who_fails_after_some(breaker: Breaker) -> None:
    breaker.note_refusal(FIRST.address)
    assert breaker.choose(BOTH) == [SECOND]
    breaker.note_failure(SECOND.address)
    breaker.note_failure(SECOND.address)
    assert breaker.choose(BOTH) == [SECOND]
    breaker.note_failure(SECOND.address)
    assert breaker.choose(BOTH) == BOTH  # none is left: they are asked all the same


def test_an_answer_between_failures_ends_their_count(breaker: Breaker) -> None:
    for status in (502, 503, 200, 504, 502, 500, 503, 503, 404, 502):
        breaker.note_status(FIRST.address, status)
    assert list(breaker.choose(BOTH)) == [*BOTH]


def test_once_its_time_is_up_one_request_tries_it(breaker: Breaker, clock: Clock) -> None:
    breaker.note_refusal(FIRST.address)
    clock.now += SHORTEST_SECONDS
    assert breaker.choose(BOTH) == (FIRST,)
    assert breaker.begin(FIRST.address)
    assert breaker.choose(BOTH) == [SECOND]
    assert not breaker.begin(FIRST.address)
    breaker.end(FIRST.address)  # its caller left: nothing is known yet
    assert breaker.choose(BOTH) == (FIRST,)
    assert breaker.begin(FIRST.address)
    breaker.note_answer(FIRST.address)
    breaker.end(FIRST.address)
    assert breaker.choose(BOTH) == BOTH


def test_each_trial_that_fails_doubles_the_time_up_to_a_bound(breaker: Breaker, clock: Clock) -> None:
    waits = []
    for _ in range(5):
        breaker.note_refusal(FIRST.address)
        breaker.note_refusal(FIRST.address)  # another that was under way: it does not count
        began = clock.now
        while breaker.choose(BOTH) != (FIRST,):
            clock.now += 0.5
        waits.append(clock.now - began)
        assert breaker.begin(FIRST.address)
    assert waits == [2, 4, 8, LONGEST_SECONDS, LONGEST_SECONDS]


def test_more_than_half_are_not_passed_over_for_what_they_answer(breaker: Breaker) -> None:
    three = (*BOTH, THIRD)
    fail(breaker, FIRST)
    assert set(breaker.choose(three)) == {SECOND, THIRD}
    fail(breaker, SECOND)
    assert set(breaker.choose(three)) == set(three)
    dead = Breaker(Clock())
    dead.note_refusal(FIRST.address)
    dead.note_refusal(SECOND.address)
    assert dead.choose(three) == [THIRD]


def test_instances_that_are_gone_are_forgotten(breaker: Breaker, clock: Clock) -> None:
    for number in range(100):
        breaker.note_failure(f"http://127.0.0.1:{number}")
        clock.now += 60
    assert len(breaker.troubles) < 10


# Real servers

WAYS = {"relay": ("chat-llm", CHAT), "eas": ("chat-llm", ""), "passthrough": (None, CHAT)}


async def answer(turn: Turn) -> None:
    await turn.send(HEAD)
    await turn.send_chunk(STREAM)
    await turn.send_chunk(b"")


async def drop(turn: Turn) -> None:
    turn.drop()


def refuse_some(status: str) -> Script:
    async def script(turn: Turn) -> None:
        if b"spoil" in turn.body:
            await turn.send_json({"error": {"message": "no"}}, status)
        else:
            await answer(turn)

    return script


def ask(service: Deployed, way: str, text: str = "x") -> int:
    body = {"model": "default", "messages": [{"role": "user", "content": text}], "stream": True}
    if way == "eas":
        body = {"prompt": text, "use_stream_chat": True}
    answer = httpx.post(service.url + WAYS[way][1], json=body, headers=service.auth, timeout=30)
    return answer.status_code


def make(server: Server, way: str, *engines: RawEngine) -> Deployed:
    return deploy(server, *(one.port for one in engines), engine=WAYS[way][0])


@pytest.mark.parametrize("status", ["400 Bad Request", "500 Internal Server Error", "429 Too Many Requests"])
@pytest.mark.parametrize("way", WAYS)
def test_what_one_caller_spoils_puts_no_instance_out(server: Server, way: str, status: str) -> None:
    script = refuse_some(status)
    with RawEngine(script) as one, RawEngine(script) as other:
        service = make(server, way, one, other)
        assert {ask(service, way, "spoil") for _ in range(20)} <= {400, 429, 500, 502}
        before = [len(one.turns), len(other.turns)]
        assert [ask(service, way, f"question {number}") for number in range(24)] == [200] * 24
        assert len(one.turns) > before[0]
        assert len(other.turns) > before[1]


@pytest.mark.parametrize("way", WAYS)
def test_an_instance_that_fails_is_passed_over_within_seconds_and_the_last_one_never(server: Server, way: str) -> None:
    with RawEngine(drop) as bad, RawEngine(answer) as good:
        service = make(server, way, bad, good)
        began = time.monotonic()
        statuses = [ask(service, way, f"{number}") for number in range(30)]
        assert statuses.count(502) <= FAILURES_IN_A_ROW + 3  # and those that tried it again meanwhile
        assert time.monotonic() - began < 20
        good.script = drop
        assert 200 not in {ask(service, way) for _ in range(8)}
        bad.script = good.script = answer
        # Neither is taken out for good: at the latest the next question finds one that answers.
        assert ask(service, way) == 200


@pytest.mark.parametrize("way", WAYS)
def test_one_request_at_a_time_tries_an_instance_that_was_passed_over(server: Server, way: str) -> None:
    async def hold(turn: Turn) -> None:
        await turn.wait_closed()

    with RawEngine(drop) as bad, RawEngine(answer) as good:
        service = make(server, way, bad, good)

        def is_passed_over() -> bool:
            before = len(bad.turns)
            for _ in range(6):
                ask(service, way, f"{time.monotonic()}")
            return before == len(bad.turns) >= FAILURES_IN_A_ROW

        wait_until(is_passed_over, "the instance is passed over", 20)
        bad.script = hold
        tried = len(bad.turns)

        def ask_at_once() -> int:
            try:
                return ask(service, way, f"{time.monotonic()}")
            except httpx.TransportError:
                return 0

        with ThreadPoolExecutor(8) as pool:
            waiting = []

            def ask_on() -> bool:
                waiting.append(pool.submit(ask_at_once))
                time.sleep(0.05)
                return len(bad.turns) > tried

            wait_until(ask_on, "the instance is tried again", LONGEST_SECONDS + 1)
            deadline = time.monotonic() + 1.5
            while time.monotonic() < deadline:
                ask_on()
            assert len(bad.turns) == tried + 1
            bad.die()
        answers = [one.result() for one in waiting]
        assert len([one for one in answers if one != 200]) <= 1

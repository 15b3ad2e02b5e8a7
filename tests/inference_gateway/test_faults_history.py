"""Conversations that are asked at once, are very long, or are deleted under their answer. Fault 31 of gateway.md §5.3.

The rest of it is elsewhere: ids that are none, and other services' and people's, in ``test_history``; other people's
pages in ``test_webchat``.
"""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from django.test import Client
from django.utils import timezone

from inference_gateway.history import MAX_ROUNDS
from inference_gateway.models import Conversation, Turn
from tests.inference_gateway.raw_engine import HEAD, RawEngine
from tests.inference_gateway.raw_engine import Turn as Asked
from tests.inference_gateway.rig import Deployed, EndlessEngine, Server, deploy, resident_kib
from tests.inference_gateway.test_faults_engines import END, LAST, event
from tests.inference_gateway.test_history import HEADER, WHOLE, ask
from tests.inference_gateway.webchat_client import make_person, only_turn, open_page
from tests.waiting import wait_until

pytestmark = [pytest.mark.backends, pytest.mark.timeout(180)]
AT_ONCE = 12
MANY_TURNS = 100_000


def test_turns_that_are_asked_for_at_once_stand_one_behind_the_other(words: Deployed) -> None:
    key = uuid.uuid4()

    def ask_one(number: int) -> httpx.Response:
        return ask(words, key, WHOLE | {"prompt": f"q{number}"})

    with ThreadPoolExecutor(AT_ONCE) as pool:
        answers = list(pool.map(ask_one, range(AT_ONCE)))
    assert [one.status_code for one in answers] == [200] * AT_ONCE
    turns = list(Turn.objects.filter(conversation=key).order_by("number"))
    assert [turn.number for turn in turns] == list(range(1, AT_ONCE + 1))
    assert [turn.parent_id for turn in turns] == [None, *(turn.pk for turn in turns[:-1])]
    assert {turn.question for turn in turns} == {f"q{number}" for number in range(AT_ONCE)}
    assert {turn.status for turn in turns} == {"finished"}
    # What each saw before it is the conversation's own beginning, in its order, without those still being answered.
    order = {turn.question: turn.number for turn in turns}
    for number, one in enumerate(answers):
        seen = [order[question] for question, _ in one.json()["history"]]
        assert seen == sorted(seen)
        assert seen[-1] == order[f"q{number}"]


@pytest.mark.timeout(900)
def test_a_conversation_of_100000_turns_goes_on_from_its_last_rounds(
    server: Server, words: Deployed, endless: EndlessEngine
) -> None:
    row = Conversation.objects.create(
        service=words.row, service_name=words.row.name, workspace=words.row.workspace, source="api"
    )
    for first in range(1, MANY_TURNS + 1, 5000):  # in turn with what the server writes
        Turn.objects.bulk_create(
            Turn(conversation=row, number=number, question=f"q{number}", answer=f"a{number}", status="finished")
            for number in range(first, first + 5000)
        )
    ask(words, uuid.uuid4(), WHOLE | {"prompt": "x"})
    before = resident_kib(server)
    answer = ask(words, row.pk, WHOLE | {"prompt": "last"})
    assert resident_kib(server) - before < 10_000
    rounds = [question for question, _ in answer.json()["history"]]
    assert rounds == [*(f"q{number}" for number in range(MANY_TURNS - MAX_ROUNDS + 1, MANY_TURNS + 1)), "last"]
    told = [message["content"] for message in endless.asked[-1]["messages"] if message["role"] == "user"]
    assert told == [*(f"q{number}" for number in range(MANY_TURNS - 4, MANY_TURNS + 1)), "last"]
    assert Turn.objects.get(conversation=row, question="last").number == MANY_TURNS + 1


def held_answer() -> tuple[RawEngine, list[Asked]]:
    """An engine that sends one word and waits with the rest, and who waits."""
    waiting: list[Asked] = []

    async def script(turn: Asked) -> None:
        await turn.send(HEAD)
        await turn.send_chunk(event("word "))
        waiting.append(turn)

    return RawEngine(script), waiting


def finish(engine: RawEngine, turn: Asked) -> None:
    async def send() -> None:
        await turn.send_chunk(event("end") + LAST + END)
        await turn.send_chunk(b"")

    engine.run(send())


@pytest.mark.parametrize("how", ["into the bin", "for good"])
def test_a_conversation_deleted_under_its_answer_lets_it_end_and_comes_not_back(server: Server, how: str) -> None:
    engine, waiting = held_answer()
    with engine:
        service, key = deploy(server, engine.port), uuid.uuid4()
        headers = service.auth | {HEADER: str(key)}
        body: dict[str, Any] = {"messages": [{"role": "user", "content": "one"}], "stream": True}
        with httpx.stream("POST", f"{service.url}/v1/chat/completions", json=body, headers=headers) as response:
            pieces = response.iter_text()
            text = next(pieces)
            rows = Conversation.objects.filter(pk=key)
            if how == "for good":
                rows.delete()
            else:
                rows.update(deleted_at=timezone.now())
            finish(engine, waiting.pop())
            text += "".join(pieces)
        assert response.status_code == 200
        assert "word " in text
        assert text.endswith("data: [DONE]\n\n")
        if how == "for good":
            assert not Conversation.objects.filter(pk=key).exists()
            assert not Turn.objects.exists()
        else:
            turn = wait_until(lambda: Turn.objects.filter(status="finished").first(), "it is recorded", 10)
            assert turn.answer == "word end"
            again = ask(service, key, WHOLE | {"prompt": "two"})
            assert (again.status_code, again.json()["code"]) == (404, "conversation_not_found")
        assert server.process is not None
        assert server.process.poll() is None


def test_a_person_who_deletes_a_conversation_under_its_answer_finds_it_whole_in_the_bin(server: Server) -> None:
    engine, waiting = held_answer()
    with engine:
        service = deploy(server, engine.port)
        person = make_person("vera", service.row.workspace)
        browser = Client()
        browser.force_login(person)
        with open_page(server, person, service.row.name) as page:
            conversation = page.ask("one")
            wait_until(lambda: bool(waiting), "the answer is under way", 10)
            address = f"/services/{service.row.name}/chat/{conversation}"
            assert browser.post(f"{address}/delete").status_code < 400
            finish(engine, waiting.pop())
            page.hear_type("end", 20)
            end = wait_until(lambda: Turn.objects.filter(status="finished").first(), "it is recorded", 10)
            assert end.answer == page.text == "word end"
            page.ask("two", conversation, watched=True)
            refused = page.hear_type("error", 20)
        assert refused["code"] == "conversation_not_found"
        assert Turn.objects.count() == 1
        assert browser.post(f"{address}/undelete").status_code < 400
        assert only_turn().conversation.deleted_at is None

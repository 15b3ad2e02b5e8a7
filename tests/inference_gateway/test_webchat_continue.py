"""Answers that were cut off and go on: as one text, in place or as a branch, with what was counted before."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User

from inference_gateway.chat import ChatRequest, Text
from inference_gateway.models import Turn
from inference_gateway.webchat.continuing import ContinuedEngine, render_continuation
from tests.inference_gateway.rig import Deployed, EndlessEngine, Server, deploy
from tests.inference_gateway.scripted import ScriptedEngine
from tests.inference_gateway.webchat_client import Page, make_person, open_page
from tests.waiting import wait_until


@pytest.fixture
def service(server: Server, endless: EndlessEngine) -> Deployed:
    return deploy(server, endless.port)


@pytest.fixture
def viewer(service: Deployed) -> User:
    return make_person("vera", service.row.workspace)


@pytest.fixture
def page(server: Server, service: Deployed, viewer: User) -> Iterator[Page]:
    with open_page(server, viewer, service.row.name) as opened:
        yield opened


def stop_after(page: Page, words: int, conversation: str) -> dict[str, Any]:
    page.hear_words(words)
    page.say(type="stop", conversation=conversation)
    return page.hear_type("end")


def go_on(page: Page, conversation: str, turn: int = 1, key: str = "") -> None:
    page.say(type="continue", id=key or str(uuid.uuid4()), conversation=conversation, turn=turn)


def test_the_real_model_goes_on_as_if_it_had_never_been_cut_off(server: Server, runtime_port: int) -> None:
    service = deploy(server, runtime_port)
    question = "Write a short story about a lighthouse."
    with open_page(server, make_person("vera", service.row.workspace), service.row.name) as page:
        page.ask(question, parameters={"max_new_tokens": 24, "temperature": 0})
        page.hear_type("end", 60)
        whole = page.text
        conversation = page.ask(question, parameters={"max_new_tokens": 12, "temperature": 0})
        assert page.hear_type("end", 60)["finish_reason"] == "length"
        half = page.text
        go_on(page, conversation)
        page.hear_type("end", 60)
    assert whole.startswith(half)
    assert page.text == whole
    turn = Turn.objects.get(conversation_id=conversation)
    assert (turn.answer, turn.completion_tokens) == (whole, 24)
    assert turn.prompt_tokens == Turn.objects.exclude(pk=turn.pk).get().prompt_tokens


def test_a_stopped_answer_goes_on_in_its_place_with_the_words_kept(page: Page, endless: EndlessEngine) -> None:
    conversation = page.ask("Write on.", parameters={"temperature": 0.3}, system_prompt="Be brief.")
    end = stop_after(page, 4, conversation)
    kept = page.text
    assert end["is_continuable"]
    endless.ends_after = 3
    go_on(page, conversation)
    assert page.hear_type("accepted")["turn"] == 1
    end = page.hear_type("end")
    turn = Turn.objects.get()
    assert page.text == turn.answer == kept + "word " * 3
    assert (end["status"], end["is_continuable"]) == ("finished", False)
    assert turn.completion_tokens == turn.answer.count("word")
    asked = endless.asked[1]
    assert asked["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Write on."},
        {"role": "assistant", "content": kept.rstrip()},
    ]
    assert asked["temperature"] == 0.3
    assert (asked["continue_final_message"], asked["add_generation_prompt"]) == (True, False)


def test_another_tab_sees_the_answer_go_on(
    server: Server, service: Deployed, viewer: User, page: Page, endless: EndlessEngine
) -> None:
    conversation = page.ask("For both.")
    stop_after(page, 3, conversation)
    with open_page(server, viewer, service.row.name) as mirror:
        mirror.text = page.text
        mirror.say(type="watch", conversation=conversation, turn=1, offset=len(page.text), ended=True)
        endless.ends_after = 4
        go_on(page, conversation)
        assert mirror.hear_type("turn")["status"] == "generating"
        mirror.hear_type("end")
        page.hear_type("end")
    assert mirror.text == page.text == Turn.objects.get().answer


def test_a_tab_that_was_away_meanwhile_is_brought_up_to_date(
    server: Server, service: Deployed, viewer: User, page: Page, endless: EndlessEngine
) -> None:
    conversation = page.ask("While away.")
    stop_after(page, 3, conversation)
    seen = page.text
    endless.ends_after = 4
    go_on(page, conversation)
    page.hear_type("end")
    with open_page(server, viewer, service.row.name) as late:
        late.text = seen
        late.say(type="watch", conversation=conversation, turn=1, offset=len(seen), ended=True)
        late.hear_type("end")
        assert late.text == page.text


def test_an_older_answer_goes_on_as_a_branch_and_keeps_what_followed(page: Page, endless: EndlessEngine) -> None:
    conversation = page.ask("First.")
    stop_after(page, 3, conversation)
    first = Turn.objects.get()
    endless.ends_after = 2
    page.ask("Second.", conversation, watched=True, parent=1)
    page.hear_type("end")
    go_on(page, conversation, turn=1)
    end = page.hear(lambda message: message["type"] == "end" and message["turn"] == 3)
    old, second, branch = Turn.objects.order_by("number")
    assert (old.answer, second.parent_id) == (first.answer, first.pk)
    assert (branch.parent_id, branch.question, end["parent"]) == (None, "First.", None)
    assert branch.answer == page.text == first.answer + "word " * 2


def test_the_same_continue_twice_goes_on_once(page: Page, endless: EndlessEngine) -> None:
    conversation = page.ask("Once.")
    stop_after(page, 3, conversation)
    kept, key = page.text, str(uuid.uuid4())
    endless.ends_after = 2
    for _ in range(2):
        go_on(page, conversation, key=key)
    page.hear_type("end")
    go_on(page, conversation, key=key)
    page.hear_type("accepted")
    assert Turn.objects.get().answer == kept + "word " * 2
    assert len(endless.asked) == 2


def test_a_complete_answer_does_not_go_on(page: Page, endless: EndlessEngine) -> None:
    endless.ends_after = 2
    conversation = page.ask("Complete.")
    page.hear_type("end")
    go_on(page, conversation)
    assert page.hear_type("error")["code"] == "answer_complete"
    go_on(page, conversation, turn=7)
    assert page.hear_type("error")["code"] == "turn_not_found"
    assert Turn.objects.get().answer == "word word "


def test_an_engine_that_would_begin_anew_is_not_asked_to_go_on(server: Server, endless: EndlessEngine) -> None:
    service = deploy(server, endless.port, engine="bladellm", script="blade_llm_server --model m")
    with open_page(server, make_person("vera", service.row.workspace), service.row.name) as page:
        conversation = page.ask("Cut.")
        stop_after(page, 3, conversation)
        go_on(page, conversation)
        assert page.hear_type("error")["code"] == "continue_unsupported"
    assert Turn.objects.get().status == Turn.Status.STOPPED


def test_stopping_twice_loses_nothing(page: Page, endless: EndlessEngine) -> None:
    conversation = page.ask("Again.")
    stop_after(page, 3, conversation)
    kept = page.text.count("word")
    go_on(page, conversation)
    stop_after(page, kept + 3, conversation)
    wait_until(lambda: endless.active == 0, "the engine is idle", 2)
    turn = Turn.objects.get()
    assert turn.status == Turn.Status.STOPPED
    assert turn.answer == page.text
    assert turn.completion_tokens == turn.answer.count("word")


def test_nobody_continues_anothers_answer(server: Server, service: Deployed, page: Page) -> None:
    conversation = page.ask("Mine.")
    stop_after(page, 3, conversation)
    with open_page(server, make_person("otto", service.row.workspace), service.row.name) as theirs:
        go_on(theirs, conversation)
        assert theirs.hear_type("error")["code"] == "conversation_not_found"


@pytest.mark.parametrize(
    ("kept", "pieces", "whole"),
    [
        ("one ", (" two",), "one two"),
        ("one ", ("two",), "one two"),
        ("one  ", (" ", " two"), "one  two"),
        ("one", (" two",), "one two"),
        ("x:\n    ", ("    ", "    y"), "x:\n        y"),
    ],
)
async def test_blanks_at_the_cut_are_written_once(kept: str, pieces: tuple[str, ...], whole: str) -> None:
    request = render_continuation(ChatRequest(messages=({"role": "user", "content": "?"},)), kept)
    assert request.messages[-1] == {"role": "assistant", "content": kept.rstrip(" ")}
    engine = ContinuedEngine(ScriptedEngine([Text(piece) for piece in pieces]), kept)
    written = [event.text async for event in engine.generate(request) if isinstance(event, Text)]
    assert kept + "".join(written) == whole

"""The web chat at its WebSocket: a real server, a real Valkey, and engines that are real HTTP servers."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.utils import timezone
from websockets.exceptions import ConnectionClosed, InvalidStatus

from deployments.chronicle import StartStep
from deployments.models import Instance, Role, Service, Status
from deployments.stages import Stage
from inference_gateway.models import Conversation, Turn
from inference_gateway.webchat.generation import VIEWERLESS_SECONDS
from tests.inference_gateway.rig import Deployed, EndlessEngine, Server, add_instance, deploy
from tests.inference_gateway.webchat_client import Page, is_idle, make_person, only_turn, open_page
from tests.waiting import wait_until

pytestmark = pytest.mark.backends


@pytest.fixture
def endless_service(server: Server, endless: EndlessEngine) -> Deployed:
    return deploy(server, endless.port)


@pytest.fixture
def viewer(endless_service: Deployed) -> User:
    return make_person("vera", endless_service.row.workspace)


@pytest.fixture
def page(server: Server, endless_service: Deployed, viewer: User) -> Iterator[Page]:
    with open_page(server, viewer, endless_service.row.name) as opened:
        yield opened


def test_a_viewer_gets_an_answer_from_the_real_model_with_its_numbers(server: Server, runtime_port: int) -> None:
    service = deploy(server, runtime_port)
    person = make_person("vera", service.row.workspace)
    with open_page(server, person, service.row.name) as page:
        conversation = page.ask("Say hello.", parameters={"max_new_tokens": 12, "temperature": 0})
        end = page.hear_type("end", 60)
    turn = only_turn()
    assert (turn.status, turn.answer) == (Turn.Status.FINISHED, page.text)
    assert page.text
    assert str(turn.conversation_id) == conversation
    assert turn.completion_tokens is not None
    assert turn.completion_tokens <= 12
    assert end["stats"]["first_token_ms"] is not None
    assert end["stats"]["prompt_tokens"] == turn.prompt_tokens
    assert end["stats"]["revision"] == 1


def test_the_question_is_saved_before_the_answer_begins(page: Page, endless: EndlessEngine) -> None:
    page.ask("Keep me.")
    accepted = page.hear_type("accepted")
    assert (accepted["turn"], accepted["question"]) == (1, "Keep me.")
    assert only_turn().question == "Keep me."


def test_stop_idles_the_engine_within_a_second_and_keeps_the_text(page: Page, endless: EndlessEngine) -> None:
    conversation = page.ask("Write without end.")
    page.hear_words(5)
    assert endless.active == 1
    page.say(type="stop", conversation=conversation)
    wait_until(lambda: is_idle(endless), "the engine is idle", 1.0)
    end = page.hear_type("end")
    assert end["status"] == "stopped"
    turn = only_turn()
    assert (turn.status, turn.answer) == (Turn.Status.STOPPED, page.text)
    assert turn.answer.startswith("word word")
    assert turn.completion_tokens == turn.answer.count("word")


def test_an_answer_goes_on_while_nobody_watches_and_is_saved(
    server: Server, endless: EndlessEngine, endless_service: Deployed, viewer: User
) -> None:
    endless.ends_after = 60
    with open_page(server, viewer, endless_service.row.name) as page:
        page.ask("Go on without me.")
        page.hear_words(3)
    wait_until(lambda: only_turn().status == Turn.Status.FINISHED, "the turn is finished")
    assert only_turn().answer == "word " * 60


def test_a_page_that_comes_back_goes_on_from_its_offset(
    server: Server, endless: EndlessEngine, endless_service: Deployed, viewer: User
) -> None:
    endless.ends_after = 80
    with open_page(server, viewer, endless_service.row.name) as page:
        conversation = page.ask("Follow me.")
        page.hear_words(4)
        seen = page.text
    with open_page(server, viewer, endless_service.row.name) as again:
        again.text = seen
        again.say(type="watch", conversation=conversation, turn=1, offset=len(seen))
        first = again.hear_type("text")
        assert first["offset"] == len(seen)
        again.hear_type("end")
    assert again.text == "word " * 80


def test_two_tabs_show_the_same_answer(
    server: Server, endless: EndlessEngine, endless_service: Deployed, viewer: User, page: Page
) -> None:
    endless.ends_after = 50
    with open_page(server, viewer, endless_service.row.name) as mirror:
        conversation = str(uuid.uuid4())
        mirror.say(type="watch", conversation=conversation)
        page.ask("For both.", conversation)
        assert mirror.hear_type("turn")["question"] == "For both."
        mirror.hear_type("end")
        page.hear_type("end")
        assert mirror.text == page.text == "word " * 50


def test_the_same_message_twice_is_asked_once(page: Page, endless: EndlessEngine) -> None:
    endless.ends_after = 5
    key = str(uuid.uuid4())
    conversation = page.ask("Once.", id=key)
    page.hear_type("end")
    page.ask("Once.", conversation, id=key, watched=True)
    assert page.hear_type("accepted")["turn"] == 1
    assert Turn.objects.count() == 1
    assert len(endless.asked) == 1


def test_a_second_question_waits_for_the_first_answer(page: Page, endless: EndlessEngine) -> None:
    conversation = page.ask("First.")
    page.hear_words(2)
    page.ask("Second.", conversation, watched=True, parent=1)
    assert page.hear_type("error")["code"] == "conversation_busy"


def test_the_dialogue_so_far_and_the_parameters_reach_the_engine(page: Page, endless: EndlessEngine) -> None:
    endless.ends_after = 2
    conversation = page.ask("First.")
    page.hear_type("end")
    settings = {"temperature": 0.3, "top_p": 0.5, "top_k": 7, "max_new_tokens": 99}
    page.ask("Second.", conversation, watched=True, parent=1, parameters=settings, system_prompt="Be brief.")
    page.hear_type("end")
    asked = endless.asked[1]
    assert asked["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "First."},
        {"role": "assistant", "content": "word word "},
        {"role": "user", "content": "Second."},
    ]
    assert (asked["temperature"], asked["top_p"], asked["top_k"], asked["max_tokens"]) == (0.3, 0.5, 7, 99)
    row = Conversation.objects.get()
    assert (row.parameters, row.system_prompt, row.title) == (settings, "Be brief.", "First.")


def test_a_parameter_out_of_range_is_refused_by_name_and_nothing_is_saved(page: Page) -> None:
    page.ask("Hot.", parameters={"temperature": 9})
    error = page.hear_type("error")
    assert (error["code"], error["field"]) == ("invalid_parameter", "temperature")
    assert not Turn.objects.exists()


def test_regenerating_keeps_the_old_answer_beside_the_new(page: Page, endless: EndlessEngine) -> None:
    endless.ends_after = 3
    conversation = page.ask("Again.")
    page.hear_type("end")
    page.say(type="regenerate", id=str(uuid.uuid4()), conversation=conversation, turn=1)
    page.hear(lambda message: message["type"] == "end" and message["turn"] == 2)
    first, second = Turn.objects.order_by("number")
    assert (first.question, first.answer) == (second.question, second.answer)
    assert first.parent_id is None
    assert second.parent_id is None
    assert endless.asked[1]["messages"][-1]["content"] == "Again."
    assert len(endless.asked[1]["messages"]) == len(endless.asked[0]["messages"])


def test_a_message_waits_for_a_service_that_is_starting(server: Server, endless: EndlessEngine) -> None:
    endless.ends_after = 3
    service = deploy(server)
    Service.objects.filter(pk=service.row.pk).update(status=Status.WAITING, message="Loading weights.")
    person = make_person("vera", service.row.workspace)
    with open_page(server, person, service.row.name) as page:
        assert "Loading weights." in page.hear_type("service")["sentence"]
        page.ask("I wait.")
        assert page.hear_type("phase")["phase"] == "waiting"
        assert only_turn().status == Turn.Status.GENERATING
        add_instance(service.row, endless.port)
        Service.objects.filter(pk=service.row.pk).update(status=Status.RUNNING, message="")
        page.hear_type("end")
        assert page.text == "word word word "
    assert (only_turn().first_token_ms or 0) < 5000  # the wait before is not the engine's


def test_the_cause_of_a_failed_service_is_told(server: Server) -> None:
    service = deploy(server)
    Service.objects.filter(pk=service.row.pk).update(status=Status.FAILED, message="Out of memory: it needs 19 GiB.")
    with open_page(server, make_person("vera", service.row.workspace), service.row.name) as page:
        told = page.hear_type("service")
    assert told["tone"] == "bad"
    assert "Out of memory: it needs 19 GiB." in told["sentence"]


def test_a_viewer_is_told_whom_to_ask_and_who_may_cure_it_is_not(server: Server) -> None:
    service = deploy(server)
    Service.objects.filter(pk=service.row.pk).update(status=Status.FAILED, message="Unknown flag --x.")
    owner = make_person("li", service.row.workspace, Role.OWNER)
    for person, asks in ((make_person("vera", service.row.workspace), True), (owner, False)):
        with open_page(server, person, service.row.name) as page:
            assert page.hear_type("service")["sentence"].endswith(" Ask li.") is asks


def test_the_time_that_is_left_is_told_from_past_starts(server: Server) -> None:
    service = deploy(server)
    Service.objects.filter(pk=service.row.pk).update(status=Status.STARTING, message="Loading weights.")
    now = timezone.now()
    for run in range(3):
        StartStep.objects.create(
            service=service.row,
            instance=f"past-{run}",
            revision_number=1,
            stage=Stage.READY,
            outcome=StartStep.Outcome.DONE,
            began_at=now - timedelta(hours=1),
            ended_at=now - timedelta(hours=1) + timedelta(seconds=300),
        )
    instance = add_instance(service.row, 1)
    Instance.objects.filter(pk=instance.pk).update(ready_at=None, created_at=now - timedelta(seconds=60))
    with open_page(server, make_person("vera", service.row.workspace), service.row.name) as page:
        assert "About 4 min 0 s left." in page.hear(lambda one: "4 min 0 s" in one.get("sentence", ""))["sentence"]
        Instance.objects.filter(pk=instance.pk).update(created_at=now - timedelta(seconds=400))
        page.hear(lambda one: "Longer than usual: 6 min" in one.get("sentence", ""))


def test_an_engine_that_refuses_is_told_and_kept(server: Server, runtime_port: int) -> None:
    service = deploy(server, runtime_port)
    with open_page(server, make_person("vera", service.row.workspace), service.row.name) as page:
        page.ask("word " * 20_000)
        end = page.hear_type("end", 60)
    assert (end["status"], end["error"]["code"]) == ("failed", "context_length_exceeded")
    assert (only_turn().error_code, only_turn().error_message) == (end["error"]["code"], end["error"]["message"])


def test_a_question_may_hold_any_character(page: Page, endless: EndlessEngine) -> None:
    endless.ends_after = 1
    page.ask("سلام 你好 😀 a\0b \ud83d")
    page.hear_type("end")
    question = only_turn().question
    assert question.startswith("سلام 你好 😀 a")
    assert "\0" not in question
    assert endless.asked[0]["messages"][-1]["content"] == question


def test_strangers_and_people_signed_out_are_let_in_nowhere(server: Server, endless_service: Deployed) -> None:
    for person, code in ((make_person("eve", None), "service_not_found"), (None, "signed_out")):
        with open_page(server, person, endless_service.row.name) as page:
            assert page.hear_type("error")["code"] == code
            with pytest.raises(ConnectionClosed) as closed:
                page.hear_type("never", 10)
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code in (4401, 4404)


def test_another_site_is_refused_at_the_handshake(server: Server, endless_service: Deployed, viewer: User) -> None:
    with (
        pytest.raises(InvalidStatus),
        open_page(server, viewer, endless_service.row.name, "https://evil.example"),
    ):
        pass


def test_nobody_follows_stops_or_continues_anothers_conversation(
    server: Server, endless: EndlessEngine, endless_service: Deployed, page: Page
) -> None:
    conversation = page.ask("Mine.")
    page.hear_words(2)
    other = make_person("otto", endless_service.row.workspace, Role.OWNER)
    with open_page(server, other, endless_service.row.name) as theirs:
        messages: list[dict[str, Any]] = [
            {"type": "watch"},
            {"type": "stop"},
            {"type": "send", "id": str(uuid.uuid4()), "question": "Yours?"},
            {"type": "regenerate", "id": str(uuid.uuid4()), "turn": 1},
        ]
        for message in messages:
            theirs.say(conversation=conversation, **message)
            assert theirs.hear_type("error")["code"] in ("conversation_not_found", "turn_not_found")
    assert endless.active == 1
    page.say(type="stop", conversation=conversation)
    page.hear_type("end")


def test_a_session_that_ended_asks_nothing_more(page: Page, viewer: User) -> None:
    page.hear_type("service")
    viewer.set_password("another-long-pass-phrase")
    viewer.save()
    page.ask("Still me?")
    assert page.hear_type("error")["code"] == "signed_out"
    assert not Turn.objects.exists()


def test_nonsense_is_answered_and_the_connection_lives(page: Page, endless: EndlessEngine) -> None:
    endless.ends_after = 1
    for text in ("", "[]", '{"type": "dance"}', '{"type": "send"}', "\x00"):
        page.socket.send(text)
        assert page.hear_type("error")["code"] == "bad_message"
    page.ask("Still there?")
    page.hear_type("end")


def test_a_stop_noted_by_another_server_process_stops_this_one(page: Page, endless: EndlessEngine) -> None:
    page.ask("Elsewhere.")
    page.hear_words(3)
    Turn.objects.update(status=Turn.Status.STOPPED)
    wait_until(lambda: is_idle(endless), "the engine is idle", 2.0)
    assert page.hear_type("end")["status"] == "stopped"
    wait_until(lambda: only_turn().answer == page.text, "the whole text is recorded", 3)


def test_a_page_on_another_server_process_follows_the_row(
    server: Server, endless: EndlessEngine, endless_service: Deployed, viewer: User, page: Page
) -> None:
    endless.ends_after = 100
    second = Server()
    second.start()
    try:
        conversation = page.ask("From afar.")
        page.hear_words(2)
        with open_page(second, viewer, endless_service.row.name) as far:
            far.say(type="watch", conversation=conversation)
            far.hear_type("end")
            assert far.text == "word " * 100
    finally:
        second.kill()


@pytest.mark.timeout(90)
def test_nobody_watching_for_half_a_minute_stops_it(
    server: Server, endless: EndlessEngine, endless_service: Deployed, viewer: User
) -> None:
    with open_page(server, viewer, endless_service.row.name) as page:
        page.ask("Am I alone?")
        page.hear_words(2)
    left_at = timezone.now()
    wait_until(lambda: is_idle(endless), "the engine is idle", VIEWERLESS_SECONDS + 5)
    waited = (timezone.now() - left_at).total_seconds()
    assert waited > VIEWERLESS_SECONDS - 2
    wait_until(lambda: only_turn().status == Turn.Status.STOPPED, "the turn is stopped", 3)

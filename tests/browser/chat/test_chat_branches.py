"""Questions edited, answers continued, and long conversations, in a real Chromium."""

from __future__ import annotations

import itertools
import re
from typing import Any

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Page, expect

from inference_gateway.models import Conversation, Turn
from tests.browser.chat.rig import ask, composer, finished
from tests.inference_gateway.rig import Deployed, EndlessEngine, Server, deploy
from tests.inference_gateway.webchat_client import make_person
from tests.waiting import wait_until

pytestmark = pytest.mark.browser


def long_conversation(service: Deployed, rounds: int) -> Conversation:
    """Vera's, of so many questions and answers."""
    person = User.objects.filter(username="vera").first() or make_person("vera", service.row.workspace)
    conversation = Conversation.objects.create(
        service=service.row,
        service_name=service.row.name,
        workspace=service.row.workspace,
        owner=person,
        title="Long",
        source=Conversation.Source.WEB,
    )
    turns = Turn.objects.bulk_create(
        Turn(
            conversation=conversation,
            number=number,
            question=f"Question {number}.",
            answer=f"Answer **{number}**.\n\nWith a second paragraph.",
            status=Turn.Status.FINISHED,
        )
        for number in range(1, rounds + 1)
    )
    for before, turn in itertools.pairwise(turns):
        turn.parent = before
    Turn.objects.bulk_update(turns[1:], ["parent"], batch_size=500)
    return conversation


def answer(page: Page, number: int = 0) -> Any:
    return page.locator(".answer-text").nth(number)


def stop(page: Page) -> None:
    page.get_by_role("button", name="Stop", exact=True).click()
    expect(page.get_by_role("button", name="Send", exact=True)).to_be_visible()


def test_an_edited_question_stands_beside_the_old_one(server: Server, visits: Any, endless: EndlessEngine) -> None:
    endless.ends_after = 3
    page = visits(deploy(server, endless.port)).open()
    ask(page, "Frist question")
    finished(page)
    ask(page, "And then?")
    finished(page, 2)
    page.get_by_role("button", name="Edit", exact=True).first.click()
    field = page.get_by_role("textbox", name="Your question")
    expect(field).to_have_value("Frist question")
    field.fill("First question")
    field.press("Enter")
    expect(page.locator("#turn-3 .alternatives-place")).to_have_text("2/2")
    finished(page, 1)
    expect(page.locator(".question-text")).to_have_text(["First question"])
    assert Turn.objects.filter(parent=None).count() == 2
    page.get_by_role("link", name="Previous answer").click()
    expect(page.locator(".question-text")).to_have_text(["Frist question", "And then?"])
    assert Turn.objects.get(number=3).question == "First question"


def test_arrow_up_in_an_empty_composer_edits_the_last_question(
    server: Server, visits: Any, endless: EndlessEngine
) -> None:
    endless.ends_after = 1
    page = visits(deploy(server, endless.port)).open()
    ask(page, "One")
    finished(page)
    composer(page).fill("typed")
    composer(page).press("ArrowUp")
    expect(page.get_by_role("textbox", name="Your question")).to_have_count(0)
    composer(page).fill("")
    composer(page).press("ArrowUp")
    field = page.get_by_role("textbox", name="Your question")
    expect(field).to_be_focused()
    field.press("End")
    field.press_sequentially(" more")
    for event in ({"isComposing": True, "keyCode": 13}, {"isComposing": False, "keyCode": 229}):
        field.evaluate(
            """(area, event) => area.dispatchEvent(
                new KeyboardEvent("keydown", {key: "Enter", bubbles: true, cancelable: true, ...event}))""",
            event,
        )
    page.reload()
    page.get_by_role("button", name="Edit", exact=True).click()
    expect(field).to_have_value("One more")
    field.press("Escape")
    expect(field).to_have_count(0)
    expect(page.get_by_role("button", name="Edit", exact=True)).to_be_focused()
    assert Turn.objects.count() == 1


def test_a_stopped_answer_continues_in_its_place(server: Server, visits: Any, endless: EndlessEngine) -> None:
    visit = visits(deploy(server, endless.port))
    page = visit.open()
    ask(page, "Write on.")
    expect(answer(page)).to_contain_text("word word word")
    stop(page)
    wait_until(lambda: Turn.objects.get().status == Turn.Status.STOPPED, "what was written is kept")
    kept = Turn.objects.get().answer.split()
    mirror = visit.open(page.url)
    endless.ends_after = 4
    page.get_by_role("button", name="Continue", exact=True).click()
    finished(page)
    whole = " ".join(kept + ["word"] * 4)
    expect(answer(page)).to_have_text(whole)  # painted with the next frame
    expect(page.locator(".answer-text .block")).to_have_count(1)
    expect(page.get_by_role("button", name="Continue", exact=True)).to_have_count(0)
    finished(mirror)
    expect(answer(mirror)).to_have_text(whole)
    assert Turn.objects.get().answer.split() == kept + ["word"] * 4


def test_an_older_answer_continues_as_a_branch(server: Server, visits: Any, endless: EndlessEngine) -> None:
    page = visits(deploy(server, endless.port), reduced_motion="reduce").open()
    ask(page, "First")
    expect(answer(page)).to_contain_text("word word")
    stop(page)
    endless.ends_after = 2
    ask(page, "Second")
    finished(page)
    page.get_by_role("button", name="Continue", exact=True).click()
    expect(page.locator("#turn-3")).to_have_attribute("data-status", "finished")
    expect(page.locator(".alternatives-place")).to_have_text("2/2")
    expect(page.locator(".question-text")).to_have_text(["First"])
    page.get_by_role("link", name="Previous answer").click()
    expect(page.locator(".question-text")).to_have_text(["First", "Second"])


def test_a_long_conversation_opens_at_its_end_and_holds_the_view_while_more_is_fetched(
    server: Server, visits: Any, endless: EndlessEngine
) -> None:
    service = deploy(server, endless.port)
    conversation = long_conversation(service, 200)
    visit = visits(service)
    page = visit.open(f"{visit.url}/{conversation.pk}")
    expect(page.locator(".turn")).to_have_count(25)
    expect(page.locator(".turn").last).to_be_in_viewport()
    first = page.locator("#turn-176")
    first.scroll_into_view_if_needed()
    before = first.bounding_box()
    expect(page.locator("#turn-151")).to_have_count(1)
    after = first.bounding_box()
    assert before is not None
    assert after is not None
    assert abs(before["y"] - after["y"]) < 2
    expect(page.locator("#turn-151 strong")).to_have_text("151")
    numbers = page.locator(".turn").evaluate_all("all => all.map(one => Number(one.dataset.turn))")
    assert numbers == list(range(numbers[0], 201))


def test_a_turn_in_the_middle_is_opened_by_its_address_and_sending_goes_on_at_the_end(
    server: Server, visits: Any, endless: EndlessEngine
) -> None:
    endless.ends_after = 1
    service = deploy(server, endless.port)
    conversation = long_conversation(service, 120)
    visit = visits(service)
    page = visit.open(f"{visit.url}/{conversation.pk}?turn=40#turn-40")
    expect(page.locator("#turn-40 .question-text")).to_be_in_viewport()
    expect(page.locator("#turn-120")).to_have_count(0)
    ask(page, "At the end")
    expect(page.locator("#turn-121 .question-text")).to_have_text("At the end")
    expect(page.locator("#turn-121")).to_have_attribute("data-status", "finished")
    assert Turn.objects.get(number=121).parent == Turn.objects.get(number=120)
    expect(page).to_have_url(re.compile(f"{conversation.pk}$"))


def test_without_scripts_earlier_messages_are_a_link(server: Server, visits: Any, endless: EndlessEngine) -> None:
    service = deploy(server, endless.port)
    conversation = long_conversation(service, 60)
    visit = visits(service, java_script_enabled=False)
    page = visit.context.new_page()
    page.goto(f"{visit.url}/{conversation.pk}")
    expect(page.get_by_text("Question 60.")).to_be_visible()
    page.get_by_role("link", name="Earlier messages").click()
    expect(page.get_by_text("Question 11.")).to_be_visible()
    expect(page.get_by_role("link", name="Later messages")).to_be_visible()


def test_the_context_meter_tells_what_is_used_and_where_it_comes_from(
    server: Server, visits: Any, endless: EndlessEngine
) -> None:
    service = deploy(server, endless.port)
    conversation = long_conversation(service, 2)
    Turn.objects.filter(number=2).update(prompt_tokens=3000, completion_tokens=210)
    visit = visits(service)
    page = visit.open(f"{visit.url}/{conversation.pk}")
    page.get_by_role("button", name="Context 3,210 of 8,192").click()
    expect(page.locator("#context-note")).to_contain_text("What SmolLM2-135M-Instruct takes in")
    expect(page.locator("#context-note")).to_contain_text("left out")

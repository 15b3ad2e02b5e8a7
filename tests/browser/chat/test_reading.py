"""Reading while an answer grows, writing with an input method, and asking a service that is not there yet
(console.md §9, checks 22, 23 and 27)."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from deployments.models import Service, Status
from tests.browser.chat.rig import TellingEngine, ask, composer, finished
from tests.inference_gateway.rig import EndlessEngine, Server, add_instance, deploy

pytestmark = pytest.mark.browser

#: The transcript's place, and where the first line of the question is seen.
PLACE = """() => [document.getElementById("transcript").scrollTop,
               Math.round(document.querySelector(".question-text").getBoundingClientRect().top)]"""
#: Whether there is a good deal of text below what is seen.
BELOW = """() => { const list = document.getElementById("transcript");
                   return list.scrollHeight - list.clientHeight - list.scrollTop > 200; }"""
LENGTH = "() => document.querySelector('.answer-text').textContent.length"


def test_the_view_stays_where_one_scrolled_while_an_answer_grows_and_when_it_ends(
    server: Server, visits: Any, endless: EndlessEngine
) -> None:
    endless.ends_after = 1500
    page = visits(deploy(server, endless.port), viewport={"width": 600, "height": 400}).open()
    ask(page, "Many words.")
    page.wait_for_function(BELOW)
    page.locator("#transcript").hover()
    page.mouse.wheel(0, 150)
    page.wait_for_function("() => document.getElementById('transcript').scrollTop >= 100")
    settle(page)
    place, length = page.evaluate(PLACE), page.evaluate(LENGTH)
    page.wait_for_function(f"() => document.querySelector('.answer-text').textContent.length > {length + 300}")
    assert page.evaluate(PLACE) == place
    expect(page.locator(".turn")).to_have_attribute("data-status", "generating")
    finished(page)
    settle(page)
    assert page.evaluate(PLACE) == place


def settle(page: Page) -> None:
    """Wait until nothing scrolls any more: two looks, ten frames apart, that agree."""
    page.wait_for_function(
        """async () => {
          const frames = async (count) => { while (count--) await new Promise(requestAnimationFrame); };
          const before = document.getElementById("transcript").scrollTop;
          await frames(10);
          return document.getElementById("transcript").scrollTop === before;
        }"""
    )


def test_scrolling_away_from_the_followed_end_holds_the_view(
    server: Server, visits: Any, endless: EndlessEngine
) -> None:
    page = visits(deploy(server, endless.port), viewport={"width": 600, "height": 400}).open()
    ask(page, "Many words.")
    page.get_by_role("button", name="New text").click(timeout=30_000)
    length = page.evaluate(LENGTH)
    page.wait_for_function(f"() => document.querySelector('.answer-text').textContent.length > {length + 300}")
    expect(page.get_by_role("button", name="New text")).to_be_hidden()
    page.locator("#transcript").hover()
    page.mouse.wheel(0, -120)
    expect(page.get_by_role("button", name="New text")).to_be_visible()
    settle(page)
    place, length = page.evaluate(PLACE), page.evaluate(LENGTH)
    page.wait_for_function(f"() => document.querySelector('.answer-text').textContent.length > {length + 300}")
    assert page.evaluate(PLACE) == place
    page.keyboard.press("Escape")


def compose(page: Page, field: Locator, text: str) -> None:
    """Write with an input method, as the browser itself is told by one, and take the text over with Enter."""
    browser = page.context.new_cdp_session(page)
    field.focus()
    browser.send("Input.imeSetComposition", {"text": text, "selectionStart": len(text), "selectionEnd": len(text)})
    enter = {"key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 229}
    browser.send("Input.dispatchKeyEvent", {"type": "rawKeyDown", **enter})
    browser.send("Input.insertText", {"text": text})
    browser.send("Input.dispatchKeyEvent", {"type": "keyUp", **enter})


@pytest.mark.parametrize("text", ["你好", "こんにちは", "안녕"], ids=["zh", "ja", "ko"])
def test_the_enter_that_takes_over_a_composition_sends_nothing(
    server: Server, visits: Any, endless: EndlessEngine, text: str
) -> None:
    page = visits(deploy(server, endless.port)).open()
    compose(page, composer(page), text)
    expect(composer(page)).to_have_value(text)
    expect(page.locator(".turn")).to_have_count(0)
    composer(page).press("Enter")
    expect(page.locator(".question-text")).to_have_text(text)


def test_the_enter_that_takes_over_a_composition_renames_nothing(
    server: Server, visits: Any, telling: TellingEngine
) -> None:
    page = visits(deploy(server, telling.port)).open()
    ask(page, "First.")
    finished(page)
    page.get_by_role("button", name="More for First.").click()
    page.get_by_role("button", name="Rename", exact=True).click()
    field = page.get_by_role("textbox", name="Title", exact=True)
    field.fill("")
    compose(page, field, "会話")
    expect(field).to_be_focused()
    expect(field).to_have_value("会話")
    field.press("Enter")
    expect(page.get_by_role("heading", name="会話", exact=True)).to_be_visible()


def test_a_question_to_a_service_that_starts_shows_the_step_and_is_answered_without_resending(
    server: Server, visits: Any, telling: TellingEngine
) -> None:
    service = deploy(server)
    rows = Service.objects.filter(pk=service.row.pk)
    rows.update(status=Status.STARTING, message="Loading weights.")
    page = visits(service).open()
    ask(page, "Are you awake?")
    expect(page.locator(".turn")).to_contain_text("Loading weights.")
    expect(composer(page)).to_be_editable()
    add_instance(service.row, telling.port)
    rows.update(status=Status.RUNNING, message="")
    finished(page)
    expect(page.locator(".answer-text")).to_have_text("Yes.")
    expect(page.locator(".question-text")).to_have_count(1)

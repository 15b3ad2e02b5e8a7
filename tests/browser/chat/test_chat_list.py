"""Search, pins, the bin and presets in a real Chromium."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.utils import timezone
from playwright.sync_api import Page, Route, expect

from deployments.chronicle import Notice
from deployments.notices import notify
from deployments.words import say
from inference_gateway.models import Conversation, PromptPreset, Turn
from tests.browser.chat.rig import ask, composer, finished
from tests.browser.chat.test_chat_branches import long_conversation
from tests.inference_gateway.rig import EndlessEngine, Server, deploy
from tests.waiting import wait_until

pytestmark = pytest.mark.browser


def menu(page: Page, name: str) -> None:
    row = page.locator(".conversation").first
    row.hover()
    row.get_by_role("button", name="More").click()
    page.get_by_role("button", name=name, exact=True).click()


def test_a_search_finds_a_word_and_opens_at_its_turn(server: Server, visits: Any, endless: EndlessEngine) -> None:
    service = deploy(server, endless.port)
    conversation = long_conversation(service, 90)
    Turn.objects.filter(number=12).update(answer="The narwhal has a tusk.")
    page = visits(service).open()
    field = page.get_by_role("searchbox", name="Search conversations")
    field.fill("NARWHAL")
    found = page.locator(".finding a")
    expect(found).to_contain_text("The narwhal has a tusk.")
    expect(page).to_have_url(re.compile(r"\?q=NARWHAL$"))
    page.reload()
    expect(field).to_have_value("NARWHAL")
    found.click()
    expect(page.locator("#turn-12 .question-text")).to_be_in_viewport()
    expect(page).to_have_url(re.compile(f"{conversation.pk}.turn=12#turn-12$"))
    field.fill("nothing like it")
    expect(page.get_by_text("Nothing found.")).to_be_visible()
    field.fill("")
    expect(page.get_by_role("link", name="Long", exact=True)).to_be_visible()


def test_an_open_menu_stays_open_while_the_list_is_fetched_anew(
    server: Server, visits: Any, endless: EndlessEngine
) -> None:
    endless.ends_after = 1
    page = visits(deploy(server, endless.port)).open()
    ask(page, "First")
    finished(page)
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    page.route("**/chat/list*", hold)
    ask(page, "Second")
    finished(page, 2)
    wait_until(lambda: page.evaluate("1") == len(held), "the list is asked for")
    more = page.get_by_role("button", name="More for First")
    more.focus()
    page.keyboard.press("Enter")
    rename = page.get_by_role("button", name="Rename", exact=True)
    expect(rename).to_be_visible()
    page.keyboard.press("Tab")
    for route in held:
        with page.expect_response("**/chat/list*"):
            route.continue_()
    expect(rename).to_be_visible()
    focused = page.locator("#more-" + str(Conversation.objects.get().pk) + " :focus")
    expect(focused).to_have_count(1)


def test_a_conversation_is_pinned_binned_and_restored(server: Server, visits: Any, endless: EndlessEngine) -> None:
    endless.ends_after = 1
    page = visits(deploy(server, endless.port)).open()
    ask(page, "Keep me")
    finished(page)
    menu(page, "Pin")
    expect(page.get_by_role("heading", name="Pinned")).to_be_visible()
    expect(page.get_by_role("link", name="Keep me", exact=True)).to_be_focused()
    menu(page, "Unpin")
    expect(page.get_by_role("heading", name="Pinned")).to_have_count(0)
    menu(page, "Delete")
    wait_until(lambda: Conversation.objects.get().deleted_at is not None, "it is in the bin")
    page.get_by_role("link", name="Bin", exact=True).click()
    page.get_by_role("button", name="Restore Keep me").click()
    expect(page.locator(".question-text")).to_have_text("Keep me")
    assert Conversation.objects.get().deleted_at is None


def test_a_system_prompt_is_kept_chosen_renamed_and_deleted_with_undo(
    server: Server, visits: Any, endless: EndlessEngine
) -> None:
    endless.ends_after = 1
    page = visits(deploy(server, endless.port)).open()
    page.get_by_role("button", name="Parameters").click()
    prompt = page.get_by_label("System prompt")
    prompt.fill("Answer like a pirate.")
    page.get_by_role("button", name="Save as preset").click()
    name = page.get_by_role("textbox", name="Name of the preset")
    name.fill("Pirate")
    for event in ({"isComposing": True, "keyCode": 13}, {"isComposing": False, "keyCode": 229}):
        name.evaluate(
            """(field, event) => field.dispatchEvent(
                new KeyboardEvent("keydown", {key: "Enter", bubbles: true, cancelable: true, ...event}))""",
            event,
        )
    assert not PromptPreset.objects.exists()
    name.press("Enter")
    expect(page.get_by_text("Saved.", exact=True)).to_be_visible()
    page.reload()
    page.get_by_role("button", name="Parameters").click()
    choice = page.get_by_role("combobox", name="Preset")
    expect(choice.locator("option:checked")).to_have_text("Pirate")
    prompt.fill("")
    choice.select_option("No preset")
    choice.select_option("Pirate")
    expect(prompt).to_have_value("Answer like a pirate.")
    page.get_by_role("button", name="Rename", exact=True).click()
    name.fill("Sailor")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(choice.locator("option:checked")).to_have_text("Sailor")
    page.get_by_role("button", name="Delete", exact=True).click()
    wait_until(lambda: not PromptPreset.objects.exists(), "it is deleted")
    page.get_by_role("button", name="Undo", exact=True).click()
    wait_until(lambda: PromptPreset.objects.filter(name="Sailor").exists(), "it is back")
    page.keyboard.press("Escape")
    ask(page, "Who are you?")
    finished(page)
    assert endless.asked[0]["messages"][0] == {"role": "system", "content": "Answer like a pirate."}
    expect(composer(page)).to_have_value("")


def test_the_bell_of_a_chat_follows_what_happens_elsewhere(server: Server, visits: Any, endless: EndlessEngine) -> None:
    service = deploy(server, endless.port)
    page = visits(service).open()
    bell = page.locator("#bell")
    expect(bell).to_have_attribute("aria-label", "Notices, none unread")
    notify(service.row, "RUNNING", say("%(name)s runs.", name="elsewhere"), at=timezone.now())
    expect(bell).to_have_attribute("aria-label", "Notices, 1 unread")
    expect(page.locator("#announcer")).to_have_text("elsewhere runs.")
    bell.click()
    menu = page.locator("#bell-menu")
    expect(menu.locator("li").first).to_contain_text("elsewhere runs.")
    menu.get_by_role("button", name="Mark all as read").click()
    expect(page.locator("#bell-count")).to_be_hidden()
    # What was read in another tab is read here, too.
    notify(service.row, "RUNNING", say("%(name)s runs again.", name="elsewhere"), at=timezone.now())
    expect(bell).to_have_attribute("aria-label", "Notices, 1 unread")
    Notice.objects.update(read_at=timezone.now())
    expect(bell).to_have_attribute("aria-label", "Notices, none unread")

"""The palette in a browser: keys only, the combobox's attributes, and an ended session (console.md §2, §9 check 28)."""

from __future__ import annotations

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.browser.test_services_list import create_stopped

pytestmark = pytest.mark.browser


def test_keys_alone_go_to_a_service(signed_in: Page, api: httpx.Client) -> None:
    create_stopped(api, "palette_one")
    page = signed_in
    page.keyboard.press("Control+k")
    box = page.get_by_role("combobox", name="Go to or do", exact=True)
    expect(box).to_be_focused()
    box.press_sequentially("palette_o")
    first = page.locator("#palette-options").get_by_role("option").first
    expect(first).to_contain_text("palette_one")
    expect(first).to_have_attribute("aria-selected", "true")
    page.keyboard.press("ArrowDown")
    expect(first).to_have_attribute("aria-selected", "false")
    page.keyboard.press("ArrowUp")
    expect(box).to_have_attribute("aria-activedescendant", "palette-1")
    page.keyboard.press("Enter")
    page.wait_for_url("**/services/palette_one")


def test_escape_closes_it_and_the_focus_returns(signed_in: Page) -> None:
    page = signed_in
    filter_box = page.get_by_label("Filter by name")
    filter_box.focus()
    page.keyboard.press("Control+k")
    expect(page.locator("#palette")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#palette")).to_be_hidden()
    expect(filter_box).to_be_focused()


def test_what_is_not_there_is_said(signed_in: Page) -> None:
    page = signed_in
    page.keyboard.press("Control+k")
    page.get_by_role("combobox", name="Go to or do").fill("no such thing")
    expect(page.locator("#palette-options")).to_contain_text("Nothing is called “no such thing”")
    page.keyboard.press("Enter")
    expect(page.locator("#palette")).to_be_visible()


def test_an_ended_session_leads_to_the_sign_in(signed_in: Page) -> None:
    page = signed_in
    page.context.clear_cookies()
    page.keyboard.press("Control+k")
    page.wait_for_url("**/sign-in?next=*")

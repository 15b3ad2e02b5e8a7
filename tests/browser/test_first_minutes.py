"""From the sign-in to the first token (console.md §9, check 2), and the first run's one click."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import PASSWORD
from tests.waiting import noticed_ms

pytestmark = pytest.mark.browser
READY_MS = 60_000


class Clicks:
    """Clicks by accessible names, counted."""

    def __init__(self, page: Page) -> None:
        self.page, self.count = page, 0

    def on(self, role: str, name: str) -> None:
        self.count += 1
        self.page.get_by_role(role, name=name, exact=True).click()  # type: ignore[arg-type]


def test_five_clicks_by_the_form_and_only_the_message_typed(page: Page) -> None:
    page.goto("/sign-in")
    page.get_by_label("User name").fill("admin")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    clicks = Clicks(page)
    clicks.on("button", "Sign in")
    clicks.on("button", "Deploy Service")
    clicks.on("link", "LLM Deployment")
    clicks.on("button", "Deploy")
    expect(page.locator("[data-status]").first).to_have_attribute(
        "data-status", "Running", timeout=noticed_ms(READY_MS)
    )
    clicks.on("link", "View Web App")
    page.wait_for_url("**/chat")  # and its scripts, which take Enter for Send
    page.get_by_label("Message", exact=True).fill("What is a slipway?")
    page.get_by_label("Message", exact=True).press("Enter")
    expect(page.locator("[data-role=assistant]").last).to_contain_text(" ", timeout=noticed_ms(READY_MS))
    assert clicks.count == 5

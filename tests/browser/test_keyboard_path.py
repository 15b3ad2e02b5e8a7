"""From the sign-in to a deleted service by keyboard alone, and at every stop it shows where the focus is
(console.md §9, check 28)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal

import httpx
import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import PASSWORD, shorten_answers, wait_status
from tests.browser.test_keyboard import LOOK
from tests.waiting import noticed_ms, wait_until

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

NAME = "by_keys_alone"
READY_MS = 60_000
MOST_STOPS = 90
Role = Literal["button", "link", "textbox", "checkbox", "radio", "spinbutton"]


class Keys:
    """Someone without a mouse: goes from stop to stop with Tab, and must see each."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.unseen: list[str] = []

    def to(self, role: Role, name: str | re.Pattern[str]) -> Locator:
        """Press Tab until the control of that name has the focus."""
        target = self.page.get_by_role(role, name=name, exact=True)
        target.first.wait_for()
        for _ in range(MOST_STOPS):
            focused = self.page.locator(":focus")
            if target.and_(focused).count():
                return target
            self.page.keyboard.press("Tab")
            self.look()
        pytest.fail(f"{MOST_STOPS} times Tab did not lead to the {role} {name} on {self.page.url}")

    def look(self) -> None:
        seen = self.page.evaluate(LOOK)
        if seen["wrong"]:
            self.unseen.append(f"{self.page.url}: {seen['name']}: {seen['wrong']}")

    def press(self, role: Role, name: str | re.Pattern[str], key: str = "Enter") -> None:
        self.to(role, name)
        self.page.keyboard.press(key)

    def write(self, role: Role, name: str, text: str) -> None:
        """Put ``text`` in the place of what the field holds."""
        self.to(role, name)
        self.page.keyboard.press("Control+A")
        self.page.keyboard.type(text)


@pytest.fixture
def deployed(api: httpx.Client) -> Iterator[str]:
    yield NAME
    api.delete(f"/services/local/{NAME}")
    wait_until(lambda: api.get(f"/services/local/{NAME}").status_code == 404, f"{NAME} is gone", 60)


def test_keys_alone_sign_in_deploy_chat_update_and_delete(page: Page, api: httpx.Client, deployed: str) -> None:
    page.emulate_media(reduced_motion="reduce")
    keys = Keys(page)
    page.goto("/sign-in")
    keys.write("textbox", "User name", "admin")
    keys.write("textbox", "Password", PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url("**/")

    keys.press("button", "Deploy Service")
    keys.press("link", "LLM Deployment")
    page.wait_for_url("**/deploy/llm")
    keys.write("textbox", "Service Name", deployed)
    keys.press("button", "Deploy")
    page.wait_for_url(f"**/services/{deployed}")
    expect(page.locator("#service-header [data-status]")).to_have_attribute(
        "data-status", "Running", timeout=noticed_ms(READY_MS)
    )

    keys.press("link", "View Web App")
    page.wait_for_url("**/chat")
    shorten_answers(page)
    keys.to("textbox", "Message")
    page.keyboard.type("Say hello in one short sentence.")
    page.keyboard.press("Enter")
    answer = page.locator(".turn[data-status=finished] [data-role=assistant]")
    expect(answer).to_contain_text(re.compile(r"\w{2,}"), timeout=noticed_ms(READY_MS))

    page.goto(f"/services/{deployed}")
    keys.press("link", "Update Service")
    page.wait_for_url("**/edit")
    keys.write("textbox", "Memory", "3072")
    expect(page.locator("#document")).to_contain_text('"memory": 3072')
    keys.press("button", "Update Service")
    page.wait_for_url(f"**/services/{deployed}")
    wait_until(lambda: api.get(f"/services/local/{deployed}").json()["Memory"] == 3072, "the memory is 3072", 30)
    wait_status(api, deployed, "Running")

    keys.press("button", "More")
    keys.press("link", "Delete")
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("link", name="Cancel")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="More", exact=True)).to_be_focused()
    page.keyboard.press("Enter")
    keys.press("link", "Delete")
    expect(dialog.get_by_role("link", name="Cancel")).to_be_focused()
    keys.write("textbox", f"Type {deployed} to confirm", deployed)
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"/(\?.*)?$"))
    wait_until(lambda: api.get(f"/services/local/{deployed}").status_code == 404, f"{deployed} is gone", 60)
    assert keys.unseen == [], "\n".join(keys.unseen)

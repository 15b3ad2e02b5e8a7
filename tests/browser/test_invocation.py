"""Invocation Information in a browser: every snippet runs as copied, the token shows only when asked for
(console.md §9, checks 20 and 21)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import BrowserContext, Locator, Page, expect

from tests.browser.conftest import PASSWORD
from tests.slipway_process import SlipwayProcess

pytestmark = pytest.mark.browser

DOTS = "••••"


def token_of(api: httpx.Client, name: str) -> str:
    token: str = api.get(f"/services/local/{name}").json()["AccessToken"]
    return token


def open_invocation(page: Page, name: str) -> Locator:
    page.goto(f"/services/{name}")
    page.get_by_role("link", name="Invocation Information").click()
    dialog = page.get_by_role("dialog", name="Invocation Information")
    expect(dialog).to_be_visible()
    return dialog


def copied(page: Page, snippet: Locator) -> str:
    snippet.get_by_role("button").click()
    expect(snippet.get_by_role("button")).to_have_text("Copied")
    text: str = page.evaluate("navigator.clipboard.readText()")
    return text


@pytest.mark.parametrize("tab", ["curl", "Python", "OpenAI", "WebSocket"])
def test_every_snippet_runs_as_copied(
    signed_in: Page, context: BrowserContext, api: httpx.Client, chat_service: str, tab: str, tmp_path: Path
) -> None:
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    dialog = open_invocation(signed_in, chat_service)
    dialog.get_by_role("tab", name=tab, exact=True).click()
    panel = dialog.get_by_role("tabpanel", name=tab, exact=True)
    expect(panel).to_contain_text(DOTS)
    text = copied(signed_in, panel)
    expect(panel).to_contain_text(DOTS)
    assert DOTS not in text
    assert token_of(api, chat_service) in text
    command = ["sh", "-c", text] if tab == "curl" else [sys.executable, "-c", text]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0, ran.stderr
    assert len(ran.stdout.strip()) > 10, ran.stdout
    if tab == "curl":
        assert ran.stdout.startswith("{")


def test_the_token_shows_on_reveal_and_hides_again(signed_in: Page, api: httpx.Client, chat_service: str) -> None:
    page = signed_in
    token = token_of(api, chat_service)
    dialog = open_invocation(page, chat_service)
    assert token not in page.content()
    dialog.get_by_role("button", name="Reveal").click()
    expect(dialog.locator("#service-token")).to_have_text(token)
    dialog.get_by_role("button", name="Hide").click()
    expect(dialog.locator("#service-token")).to_contain_text(DOTS)
    assert token not in page.content()
    page.goto("/settings/audit")
    expect(page.get_by_text("service.reveal_token").first).to_be_visible()


def test_a_token_that_cannot_be_fetched_is_said_aloud(signed_in: Page, chat_service: str) -> None:
    dialog = open_invocation(signed_in, chat_service)
    signed_in.route("**/token", lambda route: route.fulfill(status=500))
    dialog.get_by_role("button", name="Reveal").click()
    expect(dialog.get_by_role("alert")).to_have_text("The token could not be fetched. Try again.")
    signed_in.unroute("**/token")
    dialog.get_by_role("button", name="Reveal").click()
    expect(dialog.get_by_role("button", name="Hide")).to_be_visible()
    expect(dialog.get_by_role("alert")).to_have_count(0)


def test_revealing_after_the_session_has_ended_asks_to_sign_in(
    signed_in: Page, api: httpx.Client, chat_service: str
) -> None:
    dialog = open_invocation(signed_in, chat_service)
    signed_in.context.clear_cookies(name="slipway_session")
    # Not a click: a live refetch may have met the ended session first, and its dialog lies over the button then.
    dialog.get_by_role("button", name="Reveal").dispatch_event("click")
    again = signed_in.get_by_role("dialog", name="Sign in again", exact=True)
    again.get_by_label("User name").fill("admin")
    again.get_by_label("Password", exact=True).fill(PASSWORD)
    again.get_by_role("button", name="Sign in", exact=True).click()
    expect(again).to_be_hidden()
    dialog.get_by_role("button", name="Reveal").click()
    expect(dialog.locator("#service-token")).to_have_text(token_of(api, chat_service))


def test_the_token_hides_after_a_minute(signed_in: Page, api: httpx.Client, chat_service: str) -> None:
    page = signed_in
    page.clock.install()
    dialog = open_invocation(page, chat_service)
    dialog.get_by_role("button", name="Reveal").click()
    expect(dialog.locator("#service-token")).to_have_text(token_of(api, chat_service))
    page.clock.fast_forward(61_000)
    expect(dialog.locator("#service-token")).to_contain_text(DOTS)


def test_copying_without_the_clipboard_api_is_checked(
    signed_in: Page, api: httpx.Client, chat_service: str, slipway: SlipwayProcess
) -> None:
    """As at a LAN http address: there is no Clipboard API, and what is copied or not is said."""
    page = signed_in
    page.add_init_script("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
    dialog = open_invocation(page, chat_service)
    line = dialog.locator("dd", has=page.locator("#endpoint-public"))
    line.get_by_role("button").click()
    expect(line.get_by_role("button")).to_have_text("Copied")
    page.keyboard.press("Escape")
    page.evaluate("document.execCommand = () => false")
    dialog = open_invocation_without_reload(page)
    line.get_by_role("button").click()
    expect(line.get_by_role("button")).to_have_text("Press Ctrl C")
    assert page.evaluate("getSelection().toString()") == f"{slipway.address}/api/predict/{chat_service}"


def open_invocation_without_reload(page: Page) -> Locator:
    page.get_by_role("link", name="Invocation Information").click()
    dialog = page.get_by_role("dialog", name="Invocation Information")
    expect(dialog).to_be_visible()
    return dialog

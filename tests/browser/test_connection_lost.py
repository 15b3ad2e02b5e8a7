"""The server is gone or hangs, a tab sleeps, a session ends: while a page is open (console.md §9, checks 5, 6, 7)."""

from __future__ import annotations

import os
import signal

import httpx
import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.conftest import PASSWORD
from tests.browser.test_services_list import create_stopped
from tests.slipway_process import SlipwayProcess
from tests.waiting import noticed_ms

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]

SAID_WITHIN_MS = 5_000
GONE_MS = 20_000  # check 6's
RIGHT_AGAIN_MS = 2_000  # check 7's
HIDE = """(isHidden) => {
  Object.defineProperty(document, "hidden", {configurable: true, get: () => isHidden});
  Object.defineProperty(document, "visibilityState", {configurable: true, get: () => isHidden ? "hidden" : "visible"});
  document.dispatchEvent(new Event("visibilitychange"));
}"""
PAUSED = "Live updates paused since"


def test_a_server_that_is_gone_is_said_and_the_page_is_right_again_without_a_reload(
    signed_in: Page, slipway: SlipwayProcess, api: httpx.Client
) -> None:
    page = signed_in
    create_stopped(api, "gap_before")
    page.goto("/?q=gap_")
    indicator = page.locator("#live-indicator")
    expect(indicator).to_have_attribute("data-state", "live")
    page.evaluate("window.neverReloaded = true")

    slipway.stop()
    expect(indicator).to_contain_text(PAUSED, timeout=noticed_ms(SAID_WITHIN_MS))
    page.wait_for_timeout(GONE_MS)
    slipway.start()
    expect(indicator).to_have_attribute("data-state", "live", timeout=noticed_ms(20_000))
    create_stopped(api, "gap_after")
    expect(page.get_by_text("1 change", exact=False).first).to_be_visible()
    assert page.evaluate("window.neverReloaded"), "the page was loaded anew"
    page.locator("#list-changes").get_by_text("Show").click()
    expect(page.locator("[data-service=gap_after]")).to_be_visible()


def test_a_server_that_hangs_is_said_too(signed_in: Page, slipway: SlipwayProcess) -> None:
    page = signed_in
    indicator = page.locator("#live-indicator")
    expect(indicator).to_have_attribute("data-state", "live")
    server = slipway.part("uvicorn")
    assert server is not None
    os.kill(server, signal.SIGSTOP)
    try:
        expect(indicator).to_contain_text(PAUSED, timeout=noticed_ms(7_000))
    finally:
        os.kill(server, signal.SIGCONT)
    expect(indicator).to_have_attribute("data-state", "live", timeout=noticed_ms(20_000))


def test_a_tab_that_was_hidden_is_right_soon_after_it_is_back(
    signed_in: Page, slipway: SlipwayProcess, api: httpx.Client
) -> None:
    page = signed_in
    create_stopped(api, "changes_unseen")
    page.goto("/?q=changes_unseen")
    expect(page.locator("#live-indicator")).to_have_attribute("data-state", "live")
    cell = page.locator("#row-changes_unseen .cell-instances")
    expect(cell).to_have_text("0/0")
    page.wait_for_load_state("networkidle")  # the look that follows the socket's opening is over
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "changes_unseen" in request.url else None)
    page.evaluate(HIDE, True)
    assert api.put("/services/local/changes_unseen/stop").status_code == 200
    assert api.put("/services/local/changes_unseen", json={"metadata": {"instance": 3}}).status_code == 200
    page.wait_for_timeout(3_000)  # longer than a hint and the look it causes take
    assert not asked, "a hidden tab asks for nothing"
    expect(cell).to_have_text("0/0")
    page.evaluate(HIDE, False)
    expect(cell).to_have_text("0/3", timeout=noticed_ms(RIGHT_AGAIN_MS))


def test_eleven_tabs_load_over_plain_http_and_all_are_live(signed_in: Page, context: BrowserContext) -> None:
    tabs = [signed_in, *(context.new_page() for _ in range(10))]
    for tab in tabs:
        tab.goto("/")
    for tab in tabs:
        expect(tab.locator("h1")).to_have_text("Services")
        expect(tab.locator("#live-indicator")).to_have_attribute("data-state", "live")
    for tab in tabs[1:]:
        tab.close()


def test_what_met_an_ended_session_goes_on_after_signing_in(signed_in: Page, api: httpx.Client) -> None:
    page = signed_in
    create_stopped(api, "acted_on_late")
    page.route_web_socket("**/ws/live", lambda socket: None)  # without hints the action is the first to meet it
    page.goto("/?q=acted_on_late")
    page.get_by_role("button", name="More").click()
    page.get_by_role("link", name="Scale").click()
    page.get_by_role("dialog").get_by_label("Instances").fill("0")
    page.context.clear_cookies(name="slipway_session")
    # Not a click: now and then the page looks again, and its dialog may lie over the button already.
    page.get_by_role("dialog").get_by_role("button", name="Scale").dispatch_event("click")
    session = page.locator("#session-dialog")
    expect(session).to_be_visible()
    assert page.url.endswith("/?q=acted_on_late"), "the page is still there"
    session.get_by_label("User name").fill("admin")
    session.get_by_label("Password", exact=True).fill(PASSWORD)
    session.get_by_role("button", name="Sign in").click()
    expect(session).to_be_hidden()
    expect(page.locator("#dialog")).to_be_hidden()
    expect(page.locator("#announcer")).to_have_text("acted_on_late is scaling.")

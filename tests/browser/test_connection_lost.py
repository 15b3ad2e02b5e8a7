"""The server is gone, or hangs, while a page is open (console.md §9, check 6)."""

from __future__ import annotations

import os
import signal

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.browser.test_services_list import create_stopped
from tests.slipway_process import SlipwayProcess

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]

SAID_WITHIN_MS = 5_000
PAUSED = "Live updates paused since"


def test_a_server_that_is_gone_is_said_and_the_page_is_right_again_without_a_reload(
    signed_in: Page, slipway: SlipwayProcess, api: httpx.Client
) -> None:
    page = signed_in
    create_stopped(api, "before_the_gap")
    page.goto("/?sort=name")
    indicator = page.locator("#live-indicator")
    expect(indicator).to_have_attribute("data-state", "live")
    page.evaluate("window.neverReloaded = true")

    slipway.stop()
    expect(indicator).to_contain_text(PAUSED, timeout=SAID_WITHIN_MS)
    slipway.start()
    expect(indicator).to_have_attribute("data-state", "live", timeout=20_000)
    create_stopped(api, "after_the_gap")
    expect(page.get_by_text("1 change", exact=False).first).to_be_visible()
    assert page.evaluate("window.neverReloaded"), "the page was loaded anew"
    page.locator("#list-changes").get_by_text("Show").click()
    expect(page.locator("[data-service=after_the_gap]")).to_be_visible()


def test_a_server_that_hangs_is_said_too(signed_in: Page, slipway: SlipwayProcess) -> None:
    page = signed_in
    indicator = page.locator("#live-indicator")
    expect(indicator).to_have_attribute("data-state", "live")
    server = slipway.part("uvicorn")
    assert server is not None
    os.kill(server, signal.SIGSTOP)
    try:
        expect(indicator).to_contain_text(PAUSED, timeout=7_000)
    finally:
        os.kill(server, signal.SIGCONT)
    expect(indicator).to_have_attribute("data-state", "live", timeout=20_000)

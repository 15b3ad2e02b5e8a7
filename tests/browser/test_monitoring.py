"""The Monitoring page in a browser, with the real model: what was asked appears, and can be read by keys."""

from __future__ import annotations

import re

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import wait_status
from tests.browser.test_accessibility import overflow, serious_findings
from tests.browser.test_debug import open_debug

pytestmark = pytest.mark.browser
#: What was asked is written within seconds, and the page asks every ten.
SOON_MS = 40_000
NARROW_PX = 375


def ask_once(page: Page, name: str) -> None:
    open_debug(page, name)
    page.get_by_role("button", name="Send", exact=True).click()
    expect(page.locator("#debug-facts")).to_contain_text("whole after")


def test_what_was_asked_appears_and_is_read_with_the_arrow_keys_and_as_a_table(
    signed_in: Page, chat_service: str
) -> None:
    page = signed_in
    ask_once(page, chat_service)
    page.goto(f"/services/{chat_service}")
    page.get_by_role("link", name="Monitoring", exact=True).click()
    page.wait_for_url("**/monitoring")
    plot = page.locator("#chart-requests .chart-plot")
    expect(plot).to_be_visible(timeout=SOON_MS)  # by itself: nobody reloads
    plot.focus()
    expect(plot).to_have_role("slider")
    expect(plot).to_have_accessible_name("Requests")
    last = int(plot.get_attribute("aria-valuenow") or "0")
    page.keyboard.press("ArrowLeft")
    expect(plot).to_have_attribute("aria-valuenow", str(last - 1))
    expect(page.locator("#chart-requests .chart-told")).to_contain_text("200")
    page.keyboard.press("Home")
    expect(plot).to_have_attribute("aria-valuenow", "0")
    # A refetch leaves focus and crosshair where they are.
    page.evaluate("document.dispatchEvent(new CustomEvent('slipway:reconnect'))")
    page.wait_for_timeout(1500)
    expect(plot).to_be_focused()
    expect(plot).to_have_attribute("aria-valuenow", "0")
    page.locator("#chart-requests summary").press("Enter")
    expect(page.get_by_role("region", name="Numbers of Requests").get_by_role("row")).to_have_count(last + 2)


def test_a_rollout_is_marked_told_by_the_crosshair_and_listed(
    signed_in: Page, api: httpx.Client, chat_service: str
) -> None:
    page, said = signed_in, "Restarting: instances are replaced"
    ask_once(page, chat_service)
    assert api.put(f"/services/local/{chat_service}/restart").status_code == 200
    wait_status(api, chat_service, "Running")
    page.goto(f"/services/{chat_service}/monitoring?range=15m")
    listed = page.get_by_role("region", name="Rollouts in this time")
    expect(listed).to_contain_text(said, timeout=SOON_MS)
    plot = page.locator("#chart-requests .chart-plot")
    expect(plot).to_be_visible(timeout=SOON_MS)
    expect(page.locator("#chart-requests .chart-legend")).to_contain_text("Rollout begins")
    assert page.locator("#chart-requests .chart-plot .chart-mark").count() >= 1
    plot.focus()
    page.keyboard.press("End")
    for _ in range(20):
        if said in (plot.get_attribute("aria-valuetext") or ""):
            break
        page.keyboard.press("ArrowLeft")
    expect(plot).to_have_attribute("aria-valuetext", re.compile(said))
    expect(page.locator("#chart-requests .chart-told")).to_contain_text(said)
    page.locator("#chart-requests summary").press("Enter")
    table = page.get_by_role("region", name="Numbers of Requests")
    expect(table.get_by_role("row").filter(has_text=said).first).to_be_visible()
    for width in (1280, NARROW_PX):
        page.set_viewport_size({"width": width, "height": 800})
        assert serious_findings(page, f"{width} px") + overflow(page, f"{width} px") == []


def test_the_range_is_in_the_address_and_nothing_scrolls_sideways(signed_in: Page, chat_service: str) -> None:
    page = signed_in
    ask_once(page, chat_service)
    page.set_viewport_size({"width": NARROW_PX, "height": 800})
    page.goto(f"/services/{chat_service}/monitoring")
    expect(page.locator("#chart-requests .chart-plot")).to_be_visible(timeout=SOON_MS)
    for word, key in (("15 min", "15m"), ("30 d", "30d")):
        page.get_by_role("navigation", name="Range").get_by_role("link", name=word, exact=True).click()
        page.wait_for_url(f"**/monitoring?range={key}")
        expect(page.get_by_role("navigation", name="Range").locator("[aria-current]")).to_have_text(word)
        for summary in page.locator(".chart summary").all():
            summary.click()
        assert page.evaluate("document.documentElement.scrollWidth") <= NARROW_PX
    page.get_by_role("link", name="Hide the day before").click()
    page.wait_for_url("**/monitoring?range=30d&yesterday=off")
    expect(page.get_by_role("link", name="Compare with the day before")).to_be_visible()

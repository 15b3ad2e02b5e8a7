"""Instants as the reader's language and clock write them (console.md §7)."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.conftest import sign_in
from tests.slipway_process import SlipwayProcess

pytestmark = pytest.mark.browser


def test_the_exact_instant_shows_in_the_reader_s_zone_on_hover_and_on_focus(
    chromium: Browser, slipway: SlipwayProcess
) -> None:
    context = chromium.new_context(base_url=slipway.address, locale="en-GB", timezone_id="Asia/Tokyo")
    page = context.new_page()
    sign_in(page)
    page.goto("/settings/security")
    instant = page.locator("time[data-at=ago]").first
    expect(instant).to_have_text(re.compile("just now|[0-9]+ (s|min|h) ago"))
    expect(instant).to_have_attribute("title", re.compile(r"(GMT\+9|JST)$"))

    page.locator("body").press("Tab")
    tip = page.locator(".instant-tip")
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.matches('time')"):
            break
    expect(tip).to_be_visible()
    expect(tip).to_have_text(re.compile(r"(GMT\+9|JST)$"))
    page.keyboard.press("Escape")
    expect(tip).to_be_hidden()
    context.close()


def test_relative_instants_count_on_while_the_page_is_open(chromium: Browser, slipway: SlipwayProcess) -> None:
    context = chromium.new_context(base_url=slipway.address, locale="en-GB")
    page = context.new_page()
    sign_in(page)
    page.clock.install()
    page.goto("/settings/security")
    instant = page.locator("time[data-at=ago]").first
    page.clock.fast_forward("03:00")
    expect(instant).to_have_text(re.compile("[3-9] min ago"))
    page.clock.fast_forward("30:00:00")
    expect(instant).not_to_contain_text("ago")
    context.close()


def test_a_wait_of_hours_is_counted_in_hours(chromium: Browser, slipway: SlipwayProcess) -> None:
    context = chromium.new_context(base_url=slipway.address, locale="en-GB")
    page = context.new_page()
    sign_in(page)
    page.evaluate(
        """() => {
          const place = document.createElement("span");
          place.id = "waited";
          place.dataset.since = new Date(Date.now() - (3 * 3600 + 5 * 60) * 1000).toISOString();
          document.getElementById("content").append(place);
        }"""
    )
    expect(page.locator("#waited")).to_have_text("3 h 5 min")
    context.close()

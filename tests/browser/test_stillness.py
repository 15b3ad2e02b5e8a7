"""No page moves under the reader when its scripts arrive, however late (console.md §8: layout shift at most 0.05)."""

from __future__ import annotations

import re
import time
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, Route, expect

from bench.pages_in_browser import OBSERVE, SHIFT
from tests.browser.test_accessibility import NARROW, WIDE, failed_service

__all__ = ["failed_service"]  # a fixture

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]  # many pages, each waited for

SCRIPTS = re.compile(r"/(console|chat|deploy|debug|logs)[^/]*\.js$")
#: One of each kind, and those that only scripts make whole.
PAGES = [
    "/",
    "/deploy/llm",
    "/deploy/custom",
    "/clusters",
    "/keys",
    "/workspaces/default/members",
    "/settings/appearance",
    "/settings/audit",
    "/services/{chat}",
    "/services/{chat}/invocation",
    "/services/{chat}/monitoring",
    "/services/{chat}/events",
    "/services/{chat}/logs",
    "/services/{chat}/debug",
    "/services/{chat}/versions",
    "/services/{chat}/edit",
    "/services/{chat}/chat",
    "/services/{failed}",
    "/services/{failed}/logs",
]
#: Long after the first paint of a page without scripts.
LATE_SECONDS = 0.4
SHIFTED = "() => new Promise((done) => setTimeout(() => done(window.seen.shift), 300))"


def arrive_late(route: Route) -> None:
    time.sleep(LATE_SECONDS)
    route.continue_()


@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
def test_no_page_moves_when_its_scripts_arrive_late(
    signed_in: Page, api: httpx.Client, chat_service: str, failed_service: str, size: Any
) -> None:
    page = signed_in
    # With a second workspace the list has its choice above it, and its line is full.
    second = {"WorkspaceId": "still", "WorkspaceName": "Stillness"}
    assert api.post("/workspaces", json=second).status_code in (201, 409)
    page.add_init_script(OBSERVE)
    page.route(SCRIPTS, arrive_late)
    page.set_viewport_size(size)
    moved = []
    for address in PAGES:
        page.goto(address.format(chat=chat_service, failed=failed_service))
        page.wait_for_load_state("networkidle")
        if (shift := page.evaluate(SHIFTED)) > SHIFT:
            moved.append(f"{address}: {shift:.3f}")
    assert moved == []


def test_page_works_without_scripts_when_they_cannot_be_loaded(signed_in: Page) -> None:
    page = signed_in
    page.route(re.compile(r"/console[^/]*\.js$"), lambda route: route.abort())
    page.goto("/?q=nothing_like_it")
    page.get_by_label("Filter by name").fill("no_such")
    page.get_by_role("button", name="Filter", exact=True).click()
    page.wait_for_url(re.compile("q=no_such"))
    expect(page.get_by_role("link", name="Workspaces", exact=True).first).to_be_visible()
    expect(page.locator("html")).not_to_have_attribute("data-js", "")

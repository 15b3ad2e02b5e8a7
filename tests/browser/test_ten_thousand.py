"""The console with 10,000 services (console.md §8, §9, check 30): bytes and jumps of pages that a browser loads.

Questions to the database are counted by ``tests/console/test_page_weight.py``; times are measured by
``bench/bench_pages.py``, and no test looks at a clock.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
import redis
from django.conf import settings
from django.contrib.auth.models import User
from playwright.sync_api import Browser, BrowserContext, Page, expect

from bench.pages_database import fill
from bench.pages_in_browser import OBSERVE, SHIFT
from tests.inference_gateway.rig import Server
from tests.inference_gateway.webchat_client import session_of
from tests.static_files import build_static_files

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300), pytest.mark.django_db(transaction=True)]

COUNT = 10_000
EVERY_PAGE_BYTES, CHAT_BYTES, STYLES_BYTES = 32_000, 55_000, 25_000
TRANSFERRED = """(ending) => performance.getEntriesByType("resource")
  .filter((one) => new URL(one.name).pathname.endsWith(ending))
  .reduce((sum, one) => sum + one.encodedBodySize, 0)"""


@pytest.fixture
def many(
    chromium: Browser, valkey: redis.Redis, transactional_db: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[BrowserContext]:
    """A signed-in browser on a server with 10,000 services, that says how much each page jumped."""
    build_static_files(tmp_path_factory.mktemp("static"))
    fill(COUNT)
    own = Server()
    own.start()
    context = chromium.new_context(base_url=own.url, viewport={"width": 1280, "height": 800})
    context.add_init_script(OBSERVE)
    cookie = session_of(User.objects.get(username="admin"))
    context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": cookie, "url": own.url}])
    yield context
    context.close()
    own.kill()


def test_pages_stay_light_and_still_and_every_row_is_reached(many: BrowserContext) -> None:
    page = many.new_page()
    page.goto("/")
    expect(page.get_by_text(re.compile("1–50 of 10,000"))).to_be_visible()
    expect(page.locator("tr[data-name]")).to_have_count(50)
    wrong = judged(page, EVERY_PAGE_BYTES)

    page.goto("/?sort=name&page=200")
    expect(page.get_by_text(re.compile("9,951–10,000 of 10,000"))).to_be_visible()
    wrong += judged(page, EVERY_PAGE_BYTES)

    page.get_by_label("Filter by name").fill("chat_00007")
    expect(page.locator("tr[data-name]")).to_have_count(1)
    page.get_by_role("link", name="chat_00007", exact=True).click()
    expect(page.locator("#service-header")).to_be_visible()
    wrong += judged(page, EVERY_PAGE_BYTES)

    page.goto("/?sort=-instances&rows=100&page=100")
    expect(page.locator("tr[data-name]")).to_have_count(100)
    wrong += judged(page, EVERY_PAGE_BYTES)
    page.goto("/services/chat_00001/chat")
    expect(page.get_by_role("textbox", name="Message", exact=True)).to_be_visible()
    wrong += judged(page, EVERY_PAGE_BYTES + CHAT_BYTES)
    assert wrong == []


def judged(page: Page, most: int) -> list[str]:
    """What of the page is over its budget, once all of it is there."""
    expect(page.locator("#live-indicator")).to_have_attribute("data-state", "live")
    page.wait_for_load_state("networkidle")
    wrong = []
    for ending, allowed in ((".js", most), (".css", STYLES_BYTES)):
        size = page.evaluate(TRANSFERRED, ending)
        assert size > 1_000, f"{page.url} loaded no {ending}"
        if size > allowed:
            wrong.append(f"{page.url}: {size} bytes of {ending}, {allowed} allowed")
    shift = page.evaluate("window.seen.shift")
    if shift > SHIFT:
        wrong.append(f"{page.url}: moved by {shift}, {SHIFT} allowed")
    return wrong

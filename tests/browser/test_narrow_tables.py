"""Tables of people and workspaces as cards at 375 px (console.md §3): no cell lies over another, and long names are
read as words, not as a column of letters. In Persian names stand where the page's own words do."""

from __future__ import annotations

import httpx
import pytest
from django.conf import settings
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser

LONG = "a" * 100
PAGES = ["/people", "/workspaces", "/workspaces/default/members", "/settings/security", "/settings/audit", "/keys"]
#: Pairs of cells of one row whose texts cross, by their words.
CROSSED = """() => [...document.querySelectorAll("main table tbody tr")].flatMap((row) => {
  const cells = [...row.cells].map((cell) => {
    const range = document.createRange();
    range.selectNodeContents(cell);
    const boxes = [...range.getClientRects()].filter((box) => box.width > 1);
    return {words: cell.innerText.trim().slice(0, 30), boxes};
  });
  const isOver = (a, b) => a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 1 && b.top < a.bottom - 1;
  return cells.flatMap((one, at) => cells.slice(at + 1)
    .filter((other) => one.boxes.some((a) => other.boxes.some((b) => isOver(a, b))))
    .map((other) => `${one.words} | ${other.words}`));
})"""


@pytest.fixture
def crowded(signed_in: Page, api: httpx.Client) -> Page:
    """A narrow page on a Slipway with names as long as they may be."""
    for name in ("short.name", LONG):
        assert api.post("/people", json={"UserName": name, "Email": "li@example.org"}).status_code in (201, 409)
    space = {"WorkspaceName": "A" * 120, "WorkspaceId": "w" * 63}
    assert api.post("/workspaces", json=space).status_code in (201, 409)
    member = {"UserName": LONG, "Role": "viewer"}
    assert api.post("/workspaces/default/members", json=member).status_code in (201, 409)
    signed_in.set_viewport_size({"width": 375, "height": 720})
    return signed_in


@pytest.mark.parametrize("language", ["en", "fa"])
def test_no_cell_lies_over_another(crowded: Page, language: str) -> None:
    page = crowded
    page.context.add_cookies([{"name": settings.LANGUAGE_COOKIE_NAME, "value": language, "url": page.url}])
    crossed = {}
    for path in PAGES:
        page.goto(path)
        expect(page.locator("html")).to_have_attribute("lang", language)
        if found := page.evaluate(CROSSED):
            crossed[path] = found
    assert crossed == {}


def test_long_names_keep_a_third_of_the_card(crowded: Page) -> None:
    page = crowded
    for path, name in (("/workspaces", "A" * 120), ("/people", LONG)):
        page.goto(path)
        box = page.get_by_role("link", name=name, exact=True).bounding_box()
        assert box is not None
        assert box["width"] > 80, path


def test_a_latin_heading_of_a_persian_page_stands_at_its_beginning(signed_in: Page) -> None:
    page = signed_in
    page.context.add_cookies([{"name": settings.LANGUAGE_COOKIE_NAME, "value": "fa", "url": page.url}])
    page.goto("/workspaces/default/members")
    ends = page.evaluate(
        """() => { const range = document.createRange();
                   const head = document.querySelector("h1");
                   range.selectNodeContents(head);
                   return [range.getBoundingClientRect().right, head.getBoundingClientRect().right]; }"""
    )
    assert abs(ends[0] - ends[1]) < 2

"""Every stop of Tab is in view, shows its focus and is covered by nothing (console.md §3, §9, check 28)."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page

from tests.browser.conftest import sign_in

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]
MOST_STOPS = 70

#: What has the focus, and what is wrong with how that looks: "" where nothing is.
LOOK = """async () => {
  // What has the focus is scrolled into view first.
  await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
  const one = document.activeElement;
  if (!one || one === document.body) return {name: "", wrong: ""};
  const named = (one.id && `#${one.id}`) || `${one.tagName} "${one.textContent.trim().slice(0, 40)}"`;
  const shown = [one, one.closest("label"), one.closest(".choice"), one.parentElement].filter(Boolean);
  const isRinged = shown.some((each) => {
    const style = getComputedStyle(each);
    return style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 1;
  });
  const box = (one.closest("label") ?? one).getBoundingClientRect();
  const [x, y] = [box.left + box.width / 2, box.top + Math.min(box.height / 2, 20)];
  const top = document.elementFromPoint(x, y);
  const isSeen = x >= 0 && x <= innerWidth && y >= 0 && y <= innerHeight;
  const isFree = top && (one.contains(top) || top.contains(one) || one.closest("label")?.contains(top));
  const wrong = [!isRinged && "no ring", !isSeen && "out of view", isSeen && !isFree && `under ${top?.className}`];
  return {name: named, wrong: wrong.filter(Boolean).join(", ")};
}"""


@pytest.mark.parametrize("size", [(1280, 800), (375, 720)], ids=["wide", "narrow"])
@pytest.mark.parametrize(
    "address",
    [
        "/",
        "/deploy/llm",
        "/services/{chat}",
        "/services/{chat}/logs",
        "/services/{chat}/monitoring",
        "/services/{chat}/events",
        "/services/{chat}/edit",
        "/keys",
        "/workspaces/default/members",
        "/settings/security",
    ],
)
def test_focus_is_always_visible(signed_in: Page, chat_service: str, address: str, size: tuple[int, int]) -> None:
    page = signed_in
    page.emulate_media(reduced_motion="reduce")
    page.set_viewport_size({"width": size[0], "height": size[1]})
    page.goto(address.format(chat=chat_service))
    wrong, stops = walk(page)
    assert not wrong, "\n".join(wrong)
    assert len(stops) > 6, stops
    assert stops[0].startswith('A "Skip to content'), stops[0]


def walk(page: Page) -> tuple[list[str], list[str]]:
    """Press Tab until the page's end; (what was wrong, the names of the stops)."""
    wrong, stops = [], []
    for _ in range(MOST_STOPS):
        page.keyboard.press("Tab")
        look: dict[str, Any] = page.evaluate(LOOK)
        if not look["name"]:
            break
        stops.append(look["name"])
        if look["wrong"]:
            wrong.append(f"{look['name']}: {look['wrong']}")
    return wrong, stops


def test_keys_alone_sign_in_and_stop_a_service(page: Page, chat_service: str) -> None:
    sign_in(page)
    page.goto(f"/?q={chat_service}")
    page.locator("h1").click()
    page.keyboard.press("j")
    page.keyboard.press("x")
    bar = page.get_by_role("form", name="Selected services")
    for _ in range(MOST_STOPS):
        page.keyboard.press("Tab")
        if bar.get_by_role("button", name="Restart").evaluate("one => one === document.activeElement"):
            break
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("heading", name="Restart 1 service?").wait_for()
    page.keyboard.press("Escape")
    dialog.wait_for(state="detached")
    assert bar.get_by_role("button", name="Restart").evaluate("one => one === document.activeElement")

"""The log viewer on a log of 100,000 lines that goes on (console.md §4; §9, checks 10, 11, 12, 28)."""

from __future__ import annotations

import re
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import sign_in, wait_status
from tests.slipway_process import SlipwayProcess
from tests.waiting import wait_until

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]

LINES = 100_000
#: Colours, HTML, a bar that goes back to its line's start, bytes that are no text, and a line of ten megabytes.
PRINTS = f"""
import sys
out = sys.stdout.buffer
for number in range(1, {LINES} + 1):
    out.write(b"line %d of many, \\x1b[31mred\\x1b[0m, <b>bold</b>\\n" % number)
out.write(b"".join(b"\\rloading %d%%" % part for part in range(0, 101, 50)) + b"\\n")
out.write(b"\\xff\\xfe\\x00 no text\\n" + b"z" * 10_000_000 + b"\\nlast of the start\\n")
out.flush()
"""
TICKS = "(i=0; while sleep 0.1; do i=$((i+1)); echo tick $i; done)"
SCRIPT = f"python3 -c '{PRINTS}'; {TICKS} & exec python3 -m http.server $PORT"
PLACE = """() => {
  const list = document.getElementById("log");
  const top = list.getBoundingClientRect().top;
  const first = [...list.querySelectorAll("li")].find((line) => line.getBoundingClientRect().bottom > top);
  return [first?.id, Math.round(first?.getBoundingClientRect().top ?? 0)];
}"""
LAST_SHOWN = "() => Number([...document.querySelectorAll('#log li')].at(-1)?.id.slice(1) ?? 0)"


@pytest.fixture(scope="module")
def noisy(api: httpx.Client) -> str:
    """A service with that log."""
    document = {
        "metadata": {"name": "noisy", "instance": 1, "cpu": 1, "memory": 512},
        "containers": [{"image": "tools:1", "script": SCRIPT, "port": 8000}],
    }
    assert api.post("/services", json=document).status_code == 201
    wait_status(api, "noisy", "Running")
    return "noisy"


@pytest.fixture
def viewer(signed_in: Page, noisy: str) -> Page:
    """Its log, open and following."""
    open_log(signed_in, f"/services/{noisy}/logs")
    return signed_in


def open_log(page: Page, address: str) -> None:
    page.goto(address)
    page.locator("[data-log][data-ready]").wait_for()
    expect(page.locator("#log li").first).to_be_attached()


def test_the_end_is_shown_and_followed_until_one_scrolls_up(viewer: Page) -> None:
    page = viewer
    follow = page.locator("[data-log-follow]")
    expect(follow).to_have_accessible_name("Pause")
    seen = page.evaluate(LAST_SHOWN)
    assert seen > LINES
    wait_until(lambda: page.evaluate(LAST_SHOWN) > seen + 5, "new lines are followed")
    assert page.locator("#log li").count() < 1000, "all lines are on the page"

    page.locator("#log").hover()
    page.mouse.wheel(0, -3000)
    expect(follow).to_have_accessible_name("Follow")
    page.wait_for_timeout(500)  # what the wheel set going has come to rest
    place = page.evaluate(PLACE)
    expect(page.get_by_role("button", name="New lines")).to_be_visible()
    page.wait_for_timeout(2500)  # some twenty more lines have come
    assert page.evaluate(PLACE) == place

    page.get_by_role("button", name="New lines").click()
    expect(follow).to_have_accessible_name("Pause")
    end = page.evaluate(LAST_SHOWN)
    wait_until(lambda: page.evaluate(LAST_SHOWN) > end, "it follows again")


def test_pause_and_the_key_f_hold_it_still(viewer: Page) -> None:
    page = viewer
    page.get_by_role("button", name="Pause").click()
    page.wait_for_timeout(300)  # what was on its way has come
    held = page.evaluate(PLACE)
    page.wait_for_timeout(2000)
    assert page.evaluate(PLACE) == held
    page.locator("h1").click()
    page.keyboard.press("f")
    expect(page.locator("[data-log-follow]")).to_have_accessible_name("Pause")


def test_search_finds_line_7_and_steps_through_the_whole_log(viewer: Page) -> None:
    page = viewer
    page.locator("#log").focus()
    page.keyboard.press("Control+f")
    expect(page.get_by_label("Search the log")).to_be_focused()
    page.keyboard.type("LINE 7 of many, red")  # the colour's bytes lie between
    expect(page.locator("#L7")).to_be_visible()
    expect(page.locator("#L7")).to_have_class(re.compile("is-current"))
    expect(page.locator("#L7 mark").first).to_be_visible()
    expect(page.locator("[data-log-count]")).to_have_text("1 of 1")
    expect(page).to_have_url(re.compile(r"q=LINE\+7"))

    page.get_by_label("Search the log").fill("0000 of many")
    expect(page.locator("[data-log-count]")).to_have_text("1 of 10")
    page.keyboard.press("Enter")
    expect(page.locator("#L20000.is-current")).to_be_visible()
    page.keyboard.press("Shift+Enter")
    page.keyboard.press("Shift+Enter")
    expect(page.locator("#L100000.is-current")).to_be_visible()
    expect(page.locator("[data-log-count]")).to_have_text("10 of 10")
    page.get_by_label("Search the log").fill("nowhere in it")
    expect(page.locator("[data-log-count]")).to_have_text("No line holds it")
    page.keyboard.press("Escape")
    expect(page.locator("#log")).to_be_focused()


def test_a_selection_survives_new_lines(viewer: Page) -> None:
    page = viewer
    page.evaluate(
        """() => { const lines = [...document.querySelectorAll("#log li .log-text")].slice(-4);
                   getSelection().setBaseAndExtent(lines[0].firstChild, 0, lines[2].firstChild, 4); }"""
    )
    selected = page.evaluate("getSelection().toString()")
    place = page.evaluate(PLACE)
    assert selected.count("tick") == 3
    page.wait_for_timeout(4000)  # forty more lines
    assert page.evaluate("getSelection().toString()") == selected
    assert page.evaluate(PLACE) == place
    page.evaluate("getSelection().removeAllRanges()")
    end = page.evaluate(LAST_SHOWN)
    wait_until(lambda: page.evaluate(LAST_SHOWN) > end, "it follows again")


def test_lines_are_linked_to_chosen_as_a_range_and_copied(viewer: Page, noisy: str) -> None:
    page = viewer
    open_log(page, f"/services/{noisy}/logs#L54321")
    expect(page.locator("#L54321")).to_be_in_viewport()
    expect(page.locator("#L54321")).to_have_class(re.compile("is-chosen"))
    page.locator("#L54321 a").click()  # it is chosen: now no more
    expect(page.locator(".is-chosen")).to_have_count(0)
    page.locator("#L54320 a").click()
    page.locator("#L54323 a").click(modifiers=["Shift"])
    expect(page.locator(".is-chosen")).to_have_count(4)
    assert page.url.endswith("#L54320-L54323")
    page.locator("#L54323 a").focus()
    page.keyboard.press("Shift+ArrowDown")
    expect(page.locator("#L54324 a")).to_be_focused()
    expect(page.locator(".is-chosen")).to_have_count(5)

    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.locator("[data-log-copy]").click()
    expect(page.locator("[data-log-copy]")).to_have_text("Copied")
    copied = page.evaluate("navigator.clipboard.readText()").splitlines()
    assert [line.partition(" of many")[0].split()[-1] for line in copied] == [
        str(number) for number in range(54320, 54325)
    ]
    address = page.url
    open_log(page, address)
    expect(page.locator("#L54322.is-chosen")).to_be_in_viewport()


def test_what_a_program_prints_is_text_in_its_colours(viewer: Page, noisy: str) -> None:
    page = viewer
    open_log(page, f"/services/{noisy}/logs#L{LINES + 4}")
    expect(page.locator(f"#L{LINES} .ansi-red")).to_have_text("red")
    expect(page.locator(f"#L{LINES} .log-text")).to_contain_text("<b>bold</b>")
    expect(page.locator(f"#L{LINES + 3} .log-text")).to_have_text("loading 100%")
    expect(page.locator(f"#L{LINES + 4} .log-text")).to_have_text("\\xff\\xfe\\x00 no text")
    long = page.locator(f"#L{LINES + 5} .log-text")
    long.get_by_role("button", name=re.compile("Show .* more characters")).click()
    expect(long).to_have_text("z" * 16_384)
    page.get_by_role("button", name="Times in UTC").click()
    line = page.locator(f"#L{LINES + 4}")
    assert line.locator("time").text_content() == (line.locator("time").get_attribute("datetime") or "").replace(
        "T", " "
    ).removesuffix("Z")


def test_older_lines_come_on_scroll_by_keys_and_lines_wrap_on_a_phone(signed_in: Page, noisy: str) -> None:
    page = signed_in
    page.set_viewport_size({"width": 375, "height": 720})
    open_log(page, f"/services/{noisy}/logs")
    expect(page.get_by_role("button", name="Wrap lines")).to_have_attribute("aria-pressed", "true")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.evaluate("document.getElementById('log').scrollWidth <= document.getElementById('log').clientWidth")
    page.locator("#log").focus()
    page.keyboard.press("Home")
    expect(page.locator("#L1")).to_be_in_viewport()
    page.keyboard.press("PageDown")
    page.keyboard.press("PageDown")
    expect(page.locator("#L1")).not_to_be_in_viewport()


def test_a_download_has_every_line_and_the_log_reads_without_scripts(
    chromium: Browser, slipway: SlipwayProcess, noisy: str, tmp_path: Path
) -> None:
    profile = chromium.new_context(base_url=slipway.address, java_script_enabled=False)
    page = profile.new_page()
    sign_in(page)
    page.goto(f"/services/{noisy}/logs")
    assert page.locator("#log li").count() >= 20
    page.get_by_label("Search the log").fill("line 7 of many")
    page.get_by_role("button", name="Show").click()
    expect(page.locator("#L7")).to_be_visible()
    expect(page.locator("#log li")).to_have_count(1)
    with page.expect_download() as waiting:
        page.get_by_role("link", name="Download").click()
    file = tmp_path / "log"
    waiting.value.save_as(file)
    text = file.read_text()
    assert text.count(" of many, red, <b>bold</b>\n") == LINES
    assert "last of the start" in text
    profile.close()


def test_before_anything_started_it_says_what_it_waits_for_and_then_shows_lines(
    signed_in: Page, api: httpx.Client
) -> None:
    page = signed_in
    document = {
        "metadata": {"name": "later_noise", "instance": 0, "cpu": 1, "memory": 256},
        "containers": [
            {"image": "tools:1", "script": "echo good morning; exec python3 -m http.server $PORT", "port": 8000}
        ],
    }
    assert api.post("/services", json=document).status_code == 201
    page.goto("/services/later_noise/logs")
    expect(page.locator("#log-status")).to_contain_text("No instance has run yet.")
    document["metadata"]["instance"] = 1  # type: ignore[index]
    assert api.put("/services/local/later_noise", json=document).status_code == 200
    expect(page.locator("#log")).to_contain_text("good morning")
    expect(page.locator("#log-status")).to_be_empty()
    expect(page.get_by_label("Instance")).to_have_value(re.compile("later-noise"))

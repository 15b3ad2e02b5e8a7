"""Rows selected in the services list, and what is done to all of them (console.md §4, Data table)."""

from __future__ import annotations

import re

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import sign_in
from tests.browser.test_services_list import create_stopped
from tests.slipway_process import SlipwayProcess
from tests.waiting import noticed_ms

pytestmark = pytest.mark.browser
COUNT = 30
#: Where a row lies on the page, however far that is scrolled.
PLACE = """() => { const box = document.getElementById("row-many_03").getBoundingClientRect();
                   return [box.left + scrollX, box.top + scrollY, box.width, box.height]; }"""


@pytest.fixture(scope="module")
def many(api: httpx.Client) -> list[str]:
    """Services that are found by ``many_``."""
    names = [f"many_{number:02d}" for number in range(COUNT)]
    for name in names:
        create_stopped(api, name)
    return names


def status(api: httpx.Client, name: str) -> str:
    return str(api.get(f"/services/local/{name}").json().get("Status"))


def test_a_selection_outlives_pages_filters_and_changes_and_is_acted_on(
    signed_in: Page, api: httpx.Client, many: list[str]
) -> None:
    page = signed_in
    bar = page.get_by_role("form", name="Selected services")
    page.goto("/?q=many_&sort=name&rows=25")
    expect(bar).to_be_hidden()
    place = page.evaluate(PLACE)
    page.get_by_label("Select many_02").check()
    page.get_by_label("Select many_04").click(modifiers=["Shift"])
    expect(bar).to_contain_text("3 selected")
    assert page.evaluate(PLACE) == place, "a row moved"

    api.put("/services/local/many_03/stop")  # the row is fetched and morphed
    expect(page.locator("[data-service=many_03]")).to_have_attribute("data-status", "Stopped")
    expect(page.get_by_label("Select many_03")).to_be_checked()
    page.get_by_role("link", name="Next").click()
    expect(page.locator("#row-many_29")).to_be_visible()
    page.get_by_label("Select many_29").check()
    expect(bar).to_contain_text("4 selected")
    page.get_by_label("Filter by name").fill("many_0")
    expect(page.locator("#row-many_29")).to_have_count(0)
    expect(page.get_by_label("Select many_04")).to_be_checked()
    expect(bar).to_contain_text("4 selected")

    bar.get_by_role("button", name="Stop").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("heading")).to_have_text("Stop 3 services?")
    expect(dialog).to_contain_text("1 is stopped already.")
    expect(dialog.get_by_role("link", name="Cancel")).to_be_focused()
    page.keyboard.press("Escape")
    expect(bar.get_by_role("button", name="Stop")).to_be_focused()
    bar.get_by_role("button", name="Stop").click()
    dialog.get_by_role("button", name="Stop", exact=True).click()
    expect(dialog).to_contain_text("4 services were changed or were so already.")
    expect(dialog).to_contain_text("Nothing to do")
    dialog.get_by_role("link", name="Close").click()
    expect(bar).to_be_hidden()
    expect(page.locator("[data-service=many_02]")).to_have_attribute("data-status", "Stopped")


def test_all_that_match_are_deleted_once_their_number_is_typed(signed_in: Page, api: httpx.Client) -> None:
    for number in range(27):
        create_stopped(api, f"doomed_{number:02d}")
    page = signed_in
    page.goto("/?q=doomed&sort=name&rows=25")
    page.get_by_label("Select all on this page").check()
    bar = page.get_by_role("form", name="Selected services")
    expect(bar).to_contain_text("25 selected")
    bar.get_by_role("button", name="Select all 27 matching").click()
    expect(bar).to_contain_text("27 selected")
    bar.get_by_role("button", name="Delete").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("heading")).to_have_text("Delete 27 services?")
    dialog.get_by_role("button", name="Delete").click()
    expect(dialog.get_by_role("alert")).to_contain_text("Type delete 27")
    dialog.get_by_label("Type delete 27 to confirm").fill("delete 27")
    dialog.get_by_role("button", name="Delete").click()
    expect(dialog).to_contain_text("27 services were changed", timeout=noticed_ms(30_000))


def test_rows_are_walked_selected_and_opened_by_keys_and_what_cannot_be_done_says_why(
    signed_in: Page, api: httpx.Client, many: list[str]
) -> None:
    api.put("/services/local/many_20/stop")
    page = signed_in
    page.goto("/?q=many_2&sort=name")
    page.locator("h1").click()
    page.keyboard.press("j")
    page.keyboard.press("x")
    expect(page.get_by_label("Select many_20")).to_be_checked()
    expect(page.locator("[data-service=many_20]")).to_have_attribute("data-status", "Stopped")
    page.reload()
    bar = page.get_by_role("form", name="Selected services")
    expect(bar).to_contain_text("1 selected")
    stop = bar.get_by_role("button", name="Stop")
    expect(stop).to_have_attribute("aria-disabled", "true")
    stop.dispatch_event("click")
    reason = bar.get_by_role("alert")
    expect(reason).to_have_text("None of the selected services runs.")
    page.evaluate("() => document.dispatchEvent(new Event('slipway:updated'))")  # a row elsewhere has changed
    expect(reason).to_be_visible()
    expect(page.get_by_role("dialog")).to_have_count(0)
    bar.get_by_role("button", name="Clear selection").click()
    expect(bar).to_be_hidden()
    page.locator("h1").click()
    for key in "jjk":
        page.keyboard.press(key)
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("/services/many_20$"))


def test_columns_are_chosen_in_a_menu_and_in_the_address(signed_in: Page, many: list[str]) -> None:
    page = signed_in
    page.goto("/?q=many_1")
    page.get_by_role("button", name="Columns").click()
    menu = page.locator("#columns-menu")
    menu.get_by_label("Resources").check()
    menu.get_by_label("Created", exact=True).uncheck()
    menu.get_by_role("button", name="Show columns").click()
    expect(page.get_by_role("columnheader", name="Resources")).to_be_visible()
    expect(page.get_by_role("columnheader", name="Created")).to_have_count(0)
    expect(page).to_have_url(re.compile("q=many_1.*column=resources"))
    page.get_by_role("link", name="Service", exact=True).click()
    expect(page.get_by_role("columnheader", name="Service")).to_have_attribute("aria-sort", "ascending")
    expect(page.get_by_role("columnheader", name="Resources")).to_be_visible()


def test_a_list_that_cannot_be_loaded_keeps_its_rows_and_can_be_asked_again(
    signed_in: Page, api: httpx.Client, many: list[str]
) -> None:
    page = signed_in
    page.goto("/?q=many_")
    page.route("**/?q=*", lambda route: route.fulfill(status=503, body="down"))
    page.get_by_label("Filter by name").fill("many_1")
    error = page.get_by_role("alert").filter(has_text="could not be loaded")
    expect(error).to_be_visible()
    expect(page.locator("#row-many_05")).to_be_visible()
    with page.expect_response(lambda response: response.status == 503 and response.url.endswith("/?q=many_")):
        api.put("/services/local/many_05/start")  # what the page looks at by itself fails, too
    api.put("/services/local/many_05/stop")
    page.unroute("**/?q=*")
    error.get_by_role("button", name="Retry").click()
    expect(page.locator("#row-many_05")).to_have_count(0)
    expect(page.locator("#row-many_15")).to_be_visible()
    expect(error).to_be_hidden()


def test_without_scripts_rows_are_selected_asked_for_and_stopped(
    chromium: Browser, slipway: SlipwayProcess, api: httpx.Client, many: list[str]
) -> None:
    profile = chromium.new_context(base_url=slipway.address, java_script_enabled=False)
    page = profile.new_page()
    sign_in(page)
    page.goto("/?q=many_1")
    page.get_by_label("Select many_10").check()
    page.get_by_label("Select many_11").check()
    page.get_by_role("button", name="Stop").click()
    expect(page.locator("h1")).to_have_text("Stop 2 services?")
    page.get_by_role("button", name="Stop").click()
    expect(page.locator("main")).to_contain_text("2 services were changed")
    page.get_by_role("link", name="Close").click()
    expect(page).to_have_url(re.compile(r"/\?q=many_1"))
    profile.close()

"""The services list in a browser (console.md §9, checks 1, 3, 4, 18)."""

from __future__ import annotations

import httpx
import pytest
from playwright.sync_api import Browser, Page, WebSocketRoute, expect

from tests.browser.conftest import sign_in, wait_status
from tests.slipway_process import SlipwayProcess
from tests.waiting import noticed_ms

pytestmark = pytest.mark.browser

CHECK_3_MS = 2_000
LONG_NAME = "a_name_as_long_as_they_come_in_this_place_with_63_characters_xx"
STATE = """() => ({
  focus: document.activeElement.id,
  place: document.querySelector("#row-idle_05").getBoundingClientRect().top,
  selected: getSelection().toString(),
  menu: document.querySelector("[popover]:popover-open")?.id ?? "",
  order: [...document.querySelectorAll("tr[data-name]")].map((row) => row.dataset.name).join(),
})"""


def create_stopped(api: httpx.Client, name: str) -> None:
    """A service that needs no process to be looked at."""
    document = {
        "metadata": {"name": name, "instance": 0},
        "containers": [{"image": "tools:1", "script": "python3 -m http.server $PORT", "port": 8000}],
    }
    assert api.post("/services", json=document).status_code in (200, 201)


def test_a_change_elsewhere_shows_and_nothing_in_use_moves(
    signed_in: Page, api: httpx.Client, chat_service: str
) -> None:
    for number in range(14):
        create_stopped(api, f"idle_{number:02d}")
    page = signed_in
    page.goto("/?sort=name")
    expect(page.locator("#live-indicator")).to_have_attribute("data-state", "live")
    page.get_by_label("Filter by name").focus()
    page.evaluate("scrollTo(0, 120)")
    page.locator("#more-idle_05").click()
    page.locator("#menu-idle_05 a").first.focus()
    page.evaluate(
        """() => { const cell = document.querySelector("#name-idle_03").firstChild;
                   getSelection().setBaseAndExtent(cell, 0, cell, 4); }"""
    )
    before = page.evaluate(STATE)
    assert before["menu"] == "menu-idle_05"
    assert before["selected"] == "idle"
    assert page.evaluate("scrollY") > 0

    api.put(f"/services/local/{chat_service}/stop")
    badge = page.locator(f"[data-service={chat_service}]")
    expect(badge).not_to_have_attribute("data-status", "Running", timeout=noticed_ms(CHECK_3_MS))
    assert page.evaluate(STATE) == before
    wait_status(api, chat_service, "Stopped")
    expect(badge).to_have_attribute("data-status", "Stopped", timeout=noticed_ms(CHECK_3_MS))
    api.put(f"/services/local/{chat_service}/start")
    wait_status(api, chat_service, "Running")
    expect(badge).to_have_attribute("data-status", "Running", timeout=noticed_ms(CHECK_3_MS))
    assert page.evaluate(STATE) == before


def test_what_moves_is_looked_at_again_though_its_hints_are_lost(
    page: Page, api: httpx.Client, chat_service: str
) -> None:
    def pass_on_all_but_hints(socket: WebSocketRoute) -> None:
        server = socket.connect_to_server()
        server.on_message(lambda message: socket.send(message) if "pong" in str(message) else None)

    page.route_web_socket("**/ws/live", pass_on_all_but_hints)
    sign_in(page)
    page.goto(f"/?q={chat_service}")
    badge = page.locator(f"[data-service={chat_service}]")
    expect(badge).to_have_attribute("data-status", "Running")
    page.locator(f"#more-{chat_service}").click()
    page.locator(f"#menu-{chat_service}").get_by_role("link", name="Stop").click()
    page.get_by_role("dialog").get_by_role("button", name="Stop", exact=True).click()
    expect(badge).to_have_attribute("data-status", "Stopped", timeout=noticed_ms(6_000))
    api.put(f"/services/local/{chat_service}/start")
    wait_status(api, chat_service, "Running")


def test_rows_come_and_go_only_when_asked_for(signed_in: Page, api: httpx.Client) -> None:
    create_stopped(api, "come_and_go_1")
    page = signed_in
    page.goto("/?q=come_and_go")
    expect(page.locator("#live-indicator")).to_have_attribute("data-state", "live")
    create_stopped(api, "come_and_go_2")
    note = page.locator("#list-changes")
    expect(note).to_be_visible()
    expect(note).to_contain_text("1 change")
    expect(page.locator("#row-come_and_go_2")).to_have_count(0)
    note.get_by_role("link", name="Show").click()
    expect(page.locator("#row-come_and_go_2")).to_be_visible()


def test_deleting_states_the_loss_wants_the_name_and_escape_cancels(signed_in: Page, api: httpx.Client) -> None:
    create_stopped(api, "to_be_deleted")
    page = signed_in
    page.goto("/?q=to_be_deleted")
    more = page.get_by_role("button", name="More")
    more.click()
    page.get_by_role("link", name="Delete", exact=True).click()
    dialog = page.get_by_role("dialog", name="Delete to_be_deleted?")
    expect(dialog).to_contain_text("removes 1 version")
    expect(dialog.get_by_role("link", name="Cancel")).to_be_focused()
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(more).to_be_focused()

    page.keyboard.press("Enter")
    page.get_by_role("link", name="Delete", exact=True).click()
    dialog.get_by_label("Type to_be_deleted to confirm").fill("something_else")
    dialog.get_by_role("button", name="Delete").click()
    expect(dialog.get_by_role("alert")).to_contain_text("Type to_be_deleted")
    dialog.get_by_label("Type to_be_deleted to confirm").fill("to_be_deleted")
    dialog.get_by_role("button", name="Delete").click()
    expect(dialog).to_be_hidden()
    expect(page.locator("[data-service=to_be_deleted]")).to_have_attribute("data-status", "Deleted")


def test_without_scripts_the_list_shows_its_rows_and_a_service_can_be_scaled(
    chromium: Browser, slipway: SlipwayProcess, api: httpx.Client
) -> None:
    create_stopped(api, "plain_html")
    profile = chromium.new_context(base_url=slipway.address, java_script_enabled=False)
    page = profile.new_page()
    sign_in(page)
    page.goto("/?q=plain_html")
    expect(page.locator("[data-service=plain_html]")).to_be_visible()
    page.get_by_role("button", name="More").click()
    page.get_by_role("link", name="Scale").click()
    page.get_by_label("Instances").fill("0")
    page.get_by_role("button", name="Scale").click()
    expect(page.locator("h1")).to_have_text("plain_html")
    profile.close()


def test_typing_filters_and_the_address_follows(signed_in: Page, api: httpx.Client) -> None:
    for name in ("wanted_one", "other_one"):
        create_stopped(api, name)
    page = signed_in
    page.goto("/")
    page.keyboard.press("/")
    expect(page.get_by_label("Filter by name")).to_be_focused()
    page.keyboard.type("wanted_o")
    expect(page.locator("#row-other_one")).to_have_count(0)
    expect(page.locator("#row-wanted_one")).to_be_visible()
    expect(page).to_have_url("/?q=wanted_o")
    expect(page.get_by_label("Filter by name")).to_be_focused()
    page.reload()
    expect(page.locator("#row-wanted_one")).to_be_visible()
    page.keyboard.press("Escape")
    page.get_by_label("Filter by name").fill("nothing_such")
    page.get_by_role("link", name="Clear filters").click()
    expect(page.locator("#row-other_one")).to_be_visible()


@pytest.mark.parametrize("width", [1280, 1000, 760, 375])
@pytest.mark.parametrize("address", ["/", f"/services/{LONG_NAME}", "/settings/security"])
def test_no_page_scrolls_sideways(signed_in: Page, api: httpx.Client, width: int, address: str) -> None:
    if api.get(f"/services/local/{LONG_NAME}").status_code == 404:
        create_stopped(api, LONG_NAME)
    page = signed_in
    page.set_viewport_size({"width": width, "height": 760})
    page.goto(address)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")

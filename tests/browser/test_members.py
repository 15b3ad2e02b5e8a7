"""The page of members while others act, and the dialog that asks to sign in again (console.md §4 "Data table",
"Connection lost")."""

from __future__ import annotations

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import PASSWORD, sign_in
from tests.browser.persons import OWN_PASSWORD, create_person, sign_in_first
from tests.waiting import noticed_ms

pytestmark = pytest.mark.browser

MEMBERS = "/workspaces/default/members"


def test_the_members_page_follows_what_happens_elsewhere_and_moves_no_row(signed_in: Page, api: httpx.Client) -> None:
    page = signed_in
    create_person(api, "lena")
    create_person(api, "aron")
    assert api.post("/workspaces/default/members", json={"UserName": "lena", "Role": "viewer"}).status_code == 201
    page.goto(MEMBERS)
    expect(page.locator("#live-indicator")).to_have_attribute("data-state", "live")
    page.evaluate("window.neverReloaded = true")
    role = page.get_by_label("Role of lena")
    page.get_by_label("User name", exact=True).fill("half typed")

    assert api.put("/workspaces/default/members/lena", json={"Role": "operator"}).status_code == 200
    expect(role).to_have_value("operator", timeout=noticed_ms(2_000))
    assert api.post("/workspaces/default/members", json={"UserName": "aron", "Role": "viewer"}).status_code == 201
    changes = page.locator("#list-changes")
    expect(changes).to_contain_text("1 change", timeout=noticed_ms(2_000))
    expect(page.get_by_role("row", name="aron")).to_have_count(0)
    expect(page.get_by_label("User name", exact=True)).to_have_value("half typed")
    assert page.evaluate("window.neverReloaded")

    page.get_by_label("User name", exact=True).fill("")
    changes.get_by_role("link", name="Show").click()
    expect(page.get_by_role("row", name="aron")).to_be_visible()
    for name in ("aron", "lena"):
        assert api.delete(f"/workspaces/default/members/{name}").status_code in (200, 204)
    expect(changes).to_contain_text("2 changes", timeout=noticed_ms(2_000))


def test_what_the_members_page_refused_stays_and_its_address_can_be_read_again(signed_in: Page) -> None:
    page = signed_in
    page.goto(MEMBERS)
    page.get_by_label("Role of admin").select_option("viewer")
    page.get_by_role("button", name="Change admin").click()
    refusal = page.get_by_role("alert")
    expect(refusal).to_contain_text("owner")
    expect(page.locator("#live-indicator")).to_have_attribute("data-state", "live")
    with page.expect_response(lambda answer: answer.request.headers.get("x-slipway-live") == "all") as looked:
        page.evaluate("document.dispatchEvent(new CustomEvent('slipway:reconnect'))")
    assert looked.value.status in (200, 302)
    expect(refusal).to_contain_text("owner")
    page.goto(page.url)
    page.wait_for_url(f"**{MEMBERS}")
    page.get_by_label("User name", exact=True).fill("nobody at all")
    page.get_by_role("button", name="Invite").click()
    expect(page.get_by_text("There is nobody named nobody at all", exact=False)).to_be_visible()
    page.goto(page.url)
    page.wait_for_url(f"**{MEMBERS}")


def test_the_dialog_of_an_ended_session_knows_the_name_and_asks_for_the_password(signed_in: Page) -> None:
    page = signed_in
    page.goto(MEMBERS)
    expect(page.locator("#live-indicator")).to_have_attribute("data-state", "live")
    page.get_by_label("User name", exact=True).fill("half typed")
    end_session(page)
    dialog = page.get_by_role("dialog", name="Sign in again", exact=True)
    expect(dialog.get_by_label("User name")).to_have_value("admin")
    expect(dialog.get_by_label("Password", exact=True)).to_be_focused()
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    expect(dialog).to_be_hidden()
    expect(page.get_by_label("User name", exact=True)).to_have_value("half typed")


def test_a_page_that_follows_nothing_asks_to_sign_in_when_the_session_is_ended_elsewhere(
    signed_in: Page, api: httpx.Client
) -> None:
    page = signed_in
    secret = with_own_password(page, create_person(api, "nils"), "nils")
    base = "/".join(page.url.split("/")[:3])
    profile = page.context.browser.new_context(base_url=base)  # type: ignore[union-attr]
    tab = profile.new_page()
    sign_in(tab, "nils", secret)
    tab.goto("/settings/profile")
    expect(tab.locator("#live-indicator")).to_have_attribute("data-state", "live")
    tab.get_by_label("Display name").fill("half typed")
    assert api.put("/people/nils/deactivate").status_code == 200
    expect(tab.get_by_role("dialog", name="Sign in again", exact=True)).to_be_visible()
    expect(tab.locator("input[name=display_name]")).to_have_value("half typed")
    profile.close()


def test_somebody_else_who_signs_in_over_a_page_gets_their_own(signed_in: Page, api: httpx.Client) -> None:
    """Nothing that the first one was shown stays, and nothing they began is sent in the second one's name."""
    page = signed_in
    secret = with_own_password(page, create_person(api, "mira"), "mira")
    page.goto("/")
    expect(page.locator("#live-indicator")).to_have_attribute("data-state", "live")
    end_session(page)
    dialog = page.get_by_role("dialog", name="Sign in again", exact=True)
    dialog.get_by_label("User name").fill("mira")
    dialog.get_by_label("Password", exact=True).fill(secret)
    dialog.get_by_role("button", name="Sign in", exact=True).click()
    expect(page.get_by_role("button", name="Account of mira")).to_be_visible()


def with_own_password(page: Page, secret: str, name: str) -> str:
    """Set a password of their own in place of the one-time one, in a browser of their own; returns it."""
    base = "/".join(page.url.split("/")[:3])
    profile = page.context.browser.new_context(base_url=base)  # type: ignore[union-attr]
    sign_in_first(profile.new_page(), name, secret)
    profile.close()
    return OWN_PASSWORD


def end_session(page: Page) -> None:
    """Lose the session as another tab's sign-out does, and let the page look at the server."""
    page.context.clear_cookies(name="slipway_session")
    page.evaluate("document.dispatchEvent(new CustomEvent('slipway:reconnect'))")

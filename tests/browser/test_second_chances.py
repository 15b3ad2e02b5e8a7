"""What goes wrong while a form is filled in: the session, the token, the answer. Nothing typed is lost by it."""

from __future__ import annotations

import re

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import PASSWORD, sign_in

pytestmark = pytest.mark.browser

ALERT = "This page was open for too long"


def make_idle_service(api: httpx.Client, name: str) -> None:
    """A service without instances: nothing is started for it."""
    document = {"metadata": {"name": name, "instance": 0}, "containers": [{"image": "any:1", "script": "true"}]}
    answer = api.post("/services", json=document)
    assert answer.status_code == 201, answer.text


def renew_csrf_cookie(page: Page) -> None:
    """What signing in again in another tab leaves behind: the cookie that all tabs share has another token."""
    origin = page.evaluate("location.origin")
    page.context.clear_cookies(name="slipway_csrf")
    page.context.add_cookies([{"name": "slipway_csrf", "value": "n" * 32, "url": origin}])


def test_a_form_from_before_another_tabs_sign_in_is_still_taken(signed_in: Page, api: httpx.Client) -> None:
    make_idle_service(api, "other_tab")
    signed_in.goto("/services/other_tab/edit")
    signed_in.get_by_label("CPU", exact=True).fill("3")
    renew_csrf_cookie(signed_in)
    signed_in.get_by_role("button", name="Update Service", exact=True).click()
    signed_in.wait_for_url("**/services/other_tab")
    expect(signed_in.get_by_text("3 CPU")).to_be_visible()


def test_a_confirmation_from_before_another_tabs_sign_in_is_still_taken(signed_in: Page, api: httpx.Client) -> None:
    make_idle_service(api, "other_tab_scale")
    signed_in.goto("/services/other_tab_scale/scale")
    renew_csrf_cookie(signed_in)
    signed_in.get_by_label("Instances", exact=True).fill("0")
    signed_in.keyboard.press("Enter")
    signed_in.wait_for_url("**/services/other_tab_scale")


def test_a_form_without_its_cookie_says_so_and_keeps_what_was_typed(signed_in: Page) -> None:
    signed_in.goto("/deploy/custom")
    signed_in.get_by_label("Service Name").fill("no_cookie")
    signed_in.context.clear_cookies(name="slipway_csrf")
    signed_in.get_by_role("button", name="Deploy", exact=True).click()
    expect(signed_in.get_by_role("alert").filter(has_text=ALERT)).to_be_visible()
    expect(signed_in.get_by_label("Service Name")).to_have_value("no_cookie")


@pytest.mark.parametrize("given", ["", "-1", "1001", "2.5"])
def test_a_wrong_number_of_instances_is_answered_in_words(signed_in: Page, api: httpx.Client, given: str) -> None:
    name = "scale_words"
    if api.get(f"/services/local/{name}").status_code == 404:
        make_idle_service(api, name)
    signed_in.goto(f"/services/{name}/scale")
    signed_in.get_by_label("Instances", exact=True).fill(given)
    signed_in.keyboard.press("Enter")
    expect(signed_in.get_by_role("alert")).to_contain_text(re.compile("whole number from 0 to 1,?000"))
    expect(signed_in.get_by_label("Instances", exact=True)).to_have_value(given)


def test_a_wrong_name_on_the_page_of_delete_is_answered_each_time(signed_in: Page, api: httpx.Client) -> None:
    make_idle_service(api, "delete_page")
    signed_in.goto("/services/delete_page/delete")
    for wrong in ("wrong", "<b>delete_page</b>"):
        signed_in.get_by_label("Type delete_page to confirm").fill(wrong)
        signed_in.get_by_role("button", name="Delete", exact=True).click()
        expect(signed_in.get_by_label("Type delete_page to confirm")).to_have_value(wrong)
        expect(signed_in.get_by_role("alert")).to_contain_text("Type delete_page, exactly")


def end_session(page: Page) -> None:
    page.context.clear_cookies(name="slipway_session")


def test_signing_in_in_another_tab_closes_the_dialog_of_this_one(signed_in: Page, api: httpx.Client) -> None:
    make_idle_service(api, "two_tabs")
    signed_in.goto("/deploy/custom")
    signed_in.get_by_label("Service Name").fill("after_two_tabs")
    end_session(signed_in)
    signed_in.get_by_label("CPU", exact=True).fill("2")
    dialog = signed_in.get_by_role("dialog", name="Sign in again", exact=True)
    expect(dialog).to_be_visible()
    other = signed_in.context.new_page()
    sign_in(other)
    other.close()
    expect(dialog).to_be_hidden()
    expect(signed_in.get_by_label("Service Name")).to_have_value("after_two_tabs")
    expect(signed_in.locator("#document")).to_contain_text('"cpu": 2')


@pytest.mark.parametrize("has_scripts", [True, False], ids=["with scripts", "without scripts"])
def test_a_plain_form_sent_after_the_session_ended_comes_back_filled_in(signed_in: Page, *, has_scripts: bool) -> None:
    browser = signed_in.context.browser
    assert browser is not None
    context = browser.new_context(
        java_script_enabled=has_scripts, base_url=signed_in.url, storage_state=signed_in.context.storage_state()
    )
    page = context.new_page()
    page.goto("/people/new")
    page.get_by_label("User name").fill("late.with.scripts" if has_scripts else "late.without")
    page.locator("[name=administrator]").check()
    end_session(page)
    page.get_by_role("button", name="Create person").click()
    expect(page.get_by_text("What you typed is kept, but no password")).to_be_visible()
    page.get_by_label("User name").fill("admin")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()
    expect(page.get_by_text("so this was not sent")).to_be_visible()
    expect(page.get_by_label("User name")).to_have_value("late.with.scripts" if has_scripts else "late.without")
    expect(page.locator("[name=administrator]")).to_be_checked()
    page.get_by_role("button", name="Create person").click()
    expect(page.get_by_label("One-time password", exact=True)).to_be_visible()
    context.close()

"""Clicking twice does once: what a form makes is made once, and what its answer shows only once is seen."""

from __future__ import annotations

import httpx
import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.test_services_list import create_stopped

pytestmark = pytest.mark.browser


class Slowly:
    """Holds back every POST until the test lets them go, and knows how many there were."""

    def __init__(self, page: Page) -> None:
        self.waiting: list[Route] = []
        self.count = 0
        page.route("**/*", self.hold)

    def hold(self, route: Route) -> None:
        if route.request.method != "POST":
            route.continue_()
            return
        self.count += 1
        self.waiting.append(route)

    def let_go(self) -> None:
        while self.waiting:
            self.waiting.pop(0).continue_()


def test_a_double_click_creates_one_key_and_shows_its_token(signed_in: Page, api: httpx.Client) -> None:
    page = signed_in
    page.goto("/keys/new")
    page.get_by_label("Name", exact=True).fill("clicked twice")
    slowly = Slowly(page)
    page.get_by_role("button", name="Create key").click(click_count=2, delay=30, no_wait_after=True)
    page.wait_for_timeout(500)  # for a second request, if one is sent
    assert slowly.count == 1
    slowly.let_go()
    expect(page.locator("#new-token")).to_be_visible()
    names = [one["Name"] for one in api.get("/tokens").json()["Tokens"]]
    assert names.count("clicked twice") == 1


def test_a_double_click_creates_one_person_and_shows_the_one_time_password(signed_in: Page) -> None:
    page = signed_in
    page.goto("/people/new")
    page.get_by_label("User name").fill("clicked.twice")
    slowly = Slowly(page)
    page.get_by_role("button", name="Create person").click(click_count=2, delay=30, no_wait_after=True)
    page.wait_for_timeout(500)  # for a second request, if one is sent
    assert slowly.count == 1
    slowly.let_go()
    expect(page.get_by_label("One-time password", exact=True)).to_be_visible()


def test_a_form_that_was_refused_can_be_sent_again(signed_in: Page) -> None:
    page = signed_in
    page.goto("/people/new")
    page.get_by_role("button", name="Create person").click()
    expect(page.get_by_label("User name")).to_have_attribute("aria-invalid", "true")
    page.get_by_label("User name").fill("sent.again")
    page.get_by_role("button", name="Create person").click()
    expect(page.get_by_label("One-time password", exact=True)).to_be_visible()


def test_a_double_click_in_a_dialog_asks_once(signed_in: Page, api: httpx.Client) -> None:
    page = signed_in
    create_stopped(api, "clicked_twice")
    page.goto("/?q=clicked_twice")
    page.get_by_role("button", name="More").click()
    page.get_by_role("link", name="Scale").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Instances").fill("0")
    slowly = Slowly(page)
    dialog.get_by_role("button", name="Scale").dblclick(no_wait_after=True)
    page.wait_for_timeout(500)  # for a second request, if one is sent
    slowly.let_go()
    expect(dialog).to_have_count(0)
    assert slowly.count == 1


def test_loading_the_page_of_a_new_key_again_makes_no_other(signed_in: Page, api: httpx.Client) -> None:
    page = signed_in
    page.goto("/keys/new")
    page.get_by_label("Name", exact=True).fill("loaded twice")
    page.get_by_role("button", name="Create key").click()
    expect(page.locator("#new-token")).to_be_visible()
    page.reload()
    expect(page.get_by_text("It was shown once")).to_be_visible()
    expect(page.get_by_role("heading", name="Keys", level=1)).to_be_visible()
    names = [one["Name"] for one in api.get("/tokens").json()["Tokens"]]
    assert names.count("loaded twice") == 1

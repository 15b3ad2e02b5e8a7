"""A person's whole way through Slipway: made, let in, promoted, removed; and what open tabs do meanwhile."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.browser.conftest import PATIENCE_MS, shorten_answers, sign_in
from tests.browser.persons import OWN_PASSWORD, create_owner, sign_in_first
from tests.slipway_process import SlipwayProcess
from tests.waiting import noticed_ms

pytestmark = pytest.mark.browser


@pytest.fixture
def second(chromium: Browser, slipway: SlipwayProcess) -> Iterator[BrowserContext]:
    """Another person's browser."""
    profile = chromium.new_context(base_url=slipway.address, viewport={"width": 1280, "height": 800})
    profile.set_default_timeout(PATIENCE_MS)
    yield profile
    profile.close()


def make_person(page: Page, name: str) -> str:
    """Create a person on the page for it; returns the one-time password that is shown."""
    page.goto("/workspaces")
    page.get_by_role("link", name="People", exact=True).click()
    page.get_by_role("link", name="Create person").click()
    page.get_by_label("User name").fill(name)
    page.get_by_role("button", name="Create person").click()
    return page.get_by_label("One-time password", exact=True).input_value()


def test_a_person_is_made_let_in_promoted_and_removed(
    signed_in: Page, second: BrowserContext, chat_service: str, api: httpx.Client, slipway: SlipwayProcess
) -> None:
    secret = make_person(signed_in, "nora")
    nora = second.new_page()
    sign_in_first(nora, "nora", secret)
    service = f"/services/{chat_service}"
    assert nora.goto(service).status == 404  # type: ignore[union-attr]

    signed_in.goto("/workspaces/default/members")
    signed_in.get_by_label("User name").fill("nora")
    signed_in.get_by_role("button", name="Invite").click()
    expect(signed_in.get_by_role("row", name="nora")).to_be_visible()

    nora.goto(service)
    expect(nora.get_by_role("link", name="View Web App")).to_be_visible()
    expect(nora.get_by_role("link", name="Logs", exact=True)).to_have_count(0)
    assert nora.goto(f"{service}/logs").status == 403  # type: ignore[union-attr]
    expect(nora.get_by_text("Owners: admin")).to_be_visible()
    talk = second.new_page()
    talk.goto(f"{service}/chat")
    shorten_answers(talk)
    talk.get_by_label("Message", exact=True).fill("Say hello.")
    talk.get_by_role("button", name="Send", exact=True).click()
    expect(talk.locator(".turn[data-status=finished]")).to_have_count(1, timeout=noticed_ms(60_000))

    nora.goto(service)
    expect(nora.locator("#live-indicator")).to_have_attribute("data-state", "live")
    row = signed_in.get_by_role("row", name="nora")
    row.get_by_label("Role of nora").select_option("operator")
    row.get_by_role("button", name="Change nora").click()
    expect(signed_in.get_by_text("nora is now: Operator.")).to_be_visible()
    assert nora.goto(f"{service}/logs").status == 200  # type: ignore[union-attr]
    nora.goto(service)
    expect(nora.get_by_role("link", name="Update Service", exact=True)).to_be_visible()
    expect(nora.locator("#live-indicator")).to_have_attribute("data-state", "live")

    signed_in.get_by_role("link", name="Remove nora").click()
    signed_in.get_by_role("dialog").get_by_role("button", name="Remove").click()
    expect(signed_in.get_by_role("row", name="nora")).to_have_count(0)
    expect(nora.get_by_role("heading", name="Nothing here")).to_be_visible(timeout=noticed_ms(5_000))
    expect(talk.get_by_text("not for you", exact=False)).to_be_visible(timeout=noticed_ms(5_000))
    token = api.get(f"/services/local/{chat_service}/endpoints").json()["AccessToken"]
    answer = httpx.get(
        f"{slipway.address}/api/predict/{chat_service}/v1/models", headers={"Authorization": token}, trust_env=False
    )
    assert answer.status_code == 200


def test_an_account_that_is_switched_off_is_asked_to_sign_in_at_once(
    signed_in: Page, second: BrowserContext, api: httpx.Client
) -> None:
    secret = make_person(signed_in, "otto")
    otto = second.new_page()
    sign_in_first(otto, "otto", secret)
    expect(otto.locator("#live-indicator")).to_have_attribute("data-state", "live")
    assert api.put("/people/otto/deactivate").status_code == 200
    expect(otto.get_by_role("dialog")).to_be_visible(timeout=noticed_ms(5_000))
    otto.get_by_role("dialog").get_by_label("User name").fill("otto")
    otto.get_by_role("dialog").get_by_label("Password", exact=True).fill(OWN_PASSWORD)
    otto.get_by_role("dialog").get_by_role("button", name="Sign in", exact=True).click()
    expect(otto.get_by_role("dialog").get_by_role("alert")).to_contain_text("wrong")


def test_other_browsers_are_signed_out_from_the_settings(signed_in: Page, second: BrowserContext) -> None:
    elsewhere = second.new_page()
    sign_in(elsewhere)
    expect(elsewhere.locator("#live-indicator")).to_have_attribute("data-state", "live")
    signed_in.goto("/settings/security")
    signed_in.get_by_role("button", name="Sign out others").click()
    expect(signed_in.get_by_text("Signed out in")).to_be_visible()
    expect(elsewhere.get_by_role("dialog")).to_be_visible(timeout=noticed_ms(5_000))
    expect(signed_in.get_by_text("This one")).to_have_count(1)


def test_the_switch_leads_to_a_workspace_s_services_by_keyboard(signed_in: Page, api: httpx.Client) -> None:
    api.post("/workspaces", json={"WorkspaceName": "Night watch"})
    signed_in.locator("#workspace-switch").focus()
    signed_in.keyboard.press("Enter")
    expect(signed_in.get_by_role("link", name="All workspaces")).to_be_focused()
    signed_in.get_by_role("link", name="Night watch").press("Enter")
    signed_in.wait_for_url("**/?workspace=night-watch")
    expect(signed_in.locator("#workspace-switch")).to_contain_text("Night watch")
    signed_in.get_by_role("button", name="Deploy Service").click()
    signed_in.get_by_role("link", name="LLM Deployment", exact=True).click()
    expect(signed_in.get_by_label("Workspace", exact=True)).to_have_value("night-watch")


def test_single_keys_are_switched_off_for_good(page: Page, chromium: Browser, api: httpx.Client) -> None:
    create_owner(chromium, api, "one.keyed")
    sign_in(page, "one.keyed", OWN_PASSWORD)
    page.keyboard.press("?")
    dialog = page.get_by_role("dialog")
    with page.expect_response("**/settings/shortcuts") as kept:
        dialog.get_by_label("Single keys are shortcuts").uncheck()
    assert kept.value.status == 204
    page.goto("/keys")
    page.keyboard.press("?")
    expect(dialog).to_have_count(0)
    page.goto("/settings/appearance")
    page.get_by_role("checkbox", name="Single keys are shortcuts").check()
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Saved, for every browser")).to_be_visible()
    page.keyboard.press("?")
    expect(dialog).to_be_visible()


def test_a_service_key_is_revealed_on_the_page_of_keys(signed_in: Page, chat_service: str, api: httpx.Client) -> None:
    token = api.get(f"/services/local/{chat_service}/endpoints").json()["AccessToken"]
    signed_in.goto(f"/keys?q={chat_service}")
    assert token not in signed_in.content()
    signed_in.get_by_role("button", name=f"Reveal {chat_service}").click()
    expect(signed_in.locator(f"#service-key-{chat_service} [data-secret-field]")).to_have_text(token)
    signed_in.get_by_role("button", name=f"Hide {chat_service}").click()
    expect(signed_in.locator(f"#service-key-{chat_service} [data-secret-field]")).not_to_have_text(token)

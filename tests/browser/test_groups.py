"""A service's group on its page: shown, its part in it changed by keyboard in a dialog, its token read and rotated."""

from __future__ import annotations

import httpx
import pytest
from playwright.sync_api import BrowserContext, Locator, Page, expect

from tests.browser.test_accessibility import SMALL_TARGETS, overflow, serious_findings
from tests.slipway_process import SlipwayProcess

pytestmark = pytest.mark.browser

NAME, GROUP = "blue_page", "team_page"
DOTS = "••••"


@pytest.fixture
def member(api: httpx.Client) -> str:
    """The name of a service of no instances in a group."""
    metadata = {"name": NAME, "instance": 0, "group": GROUP}
    document = {"metadata": metadata, "containers": [{"image": "any:1", "script": "true"}]}
    answer = api.post("/services", json=document)
    assert answer.status_code in (201, 409), answer.text
    return NAME


def group_token(api: httpx.Client) -> str:
    token: str = api.get(f"/groups/local/{GROUP}").json()["AccessToken"]
    return token


def open_group(page: Page) -> Locator:
    page.goto(f"/services/{NAME}")
    page.get_by_role("link", name="Addresses and token").press("Enter")
    dialog = page.get_by_role("dialog", name=f"Calling the group {GROUP}")
    expect(dialog).to_be_visible()
    return dialog


def test_a_service_is_released_into_its_group_from_its_page(signed_in: Page, api: httpx.Client, member: str) -> None:
    signed_in.goto(f"/services/{NAME}")
    expect(signed_in.get_by_text("takes none of its requests")).to_be_visible()
    expect(signed_in.get_by_text(f"/api/predict/{GROUP}")).to_be_visible()
    signed_in.locator("#release").press("Enter")
    expect(signed_in.get_by_role("dialog")).to_contain_text(f"Requests of the group {GROUP}")
    signed_in.get_by_label("Weight of this service").fill("1001")
    signed_in.get_by_role("button", name="Save", exact=True).click()
    expect(signed_in.get_by_role("alert").filter(has_text="whole number")).to_be_visible()
    expect(signed_in.get_by_label("Weight of this service")).to_have_value("1001")
    signed_in.get_by_label("This service", exact=True).select_option("grouping")
    signed_in.get_by_label("The group shares them out").select_option("customized")
    signed_in.get_by_label("Weight of this service").fill("40")
    signed_in.keyboard.press("Enter")
    expect(signed_in.get_by_text("weight 40", exact=True)).to_be_visible()
    service = api.get(f"/services/local/{NAME}").json()
    assert (service["TrafficState"], service["Weight"]) == ("grouping", 40)
    assert api.get(f"/groups/local/{GROUP}").json()["TrafficMode"] == "customized"


def test_the_group_s_addresses_and_token_are_on_its_member_s_page(
    signed_in: Page, context: BrowserContext, api: httpx.Client, slipway: SlipwayProcess, member: str
) -> None:
    page, token = signed_in, group_token(api)
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    dialog = open_group(page)
    assert token not in page.content()
    expect(dialog.locator("#endpoint-public")).to_have_text(f"{slipway.address}/api/predict/{GROUP}")
    dialog.locator("[data-copy-token]").press("Enter")
    expect(dialog.locator("[data-copy-token]")).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == token
    assert token not in page.content()
    dialog.get_by_role("button", name="Reveal").press("Enter")
    expect(dialog.locator("#service-token")).to_have_text(token)
    dialog.get_by_role("button", name="Hide").press("Enter")
    expect(dialog.locator("#service-token")).to_contain_text(DOTS)
    page.keyboard.press("Escape")
    expect(page.locator("#group-invocation")).to_be_focused()


def test_the_group_s_token_is_rotated_once_its_name_is_typed(signed_in: Page, api: httpx.Client, member: str) -> None:
    page, token = signed_in, group_token(api)
    open_group(page).get_by_role("link", name="Rotate").press("Enter")
    dialog = page.get_by_role("dialog", name=f"Rotate the token of the group {GROUP}?")
    expect(dialog).to_contain_text(f"/api/predict/{GROUP} with the present one gets 401")
    dialog.get_by_label(f"Type {GROUP} to confirm").fill(NAME)
    page.keyboard.press("Enter")
    expect(dialog.get_by_role("alert")).to_contain_text(f"Type {GROUP}, exactly")
    assert group_token(api) == token
    dialog.get_by_label(f"Type {GROUP} to confirm").fill(GROUP)
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/services/{NAME}/group")
    page.get_by_role("button", name="Reveal").click()
    expect(page.locator("#service-token")).not_to_contain_text(DOTS)
    new = page.locator("#service-token").inner_text()
    assert new != token
    assert new == group_token(api)


@pytest.mark.parametrize("width", [1280, 375])
def test_the_group_s_page_and_dialogs_have_no_serious_finding(signed_in: Page, member: str, width: int) -> None:
    page, findings = signed_in, []
    page.set_viewport_size({"width": width, "height": 800})
    for path in ("", "/group", "/group/token/rotate"):
        page.goto(f"/services/{NAME}{path}")
        findings += serious_findings(page, path) + overflow(page, path)
        if width == 375:
            findings += page.evaluate(SMALL_TARGETS)
    open_group(page)
    findings += serious_findings(page, "dialog") + overflow(page, "dialog")
    assert findings == []

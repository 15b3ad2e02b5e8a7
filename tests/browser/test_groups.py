"""A service's group on its page: shown, and its part in it changed by keyboard in a dialog."""

from __future__ import annotations

import httpx
import pytest
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser

NAME, GROUP = "blue_page", "team_page"


def test_a_service_is_released_into_its_group_from_its_page(signed_in: Page, api: httpx.Client) -> None:
    metadata = {"name": NAME, "instance": 0, "group": GROUP}
    document = {"metadata": metadata, "containers": [{"image": "any:1", "script": "true"}]}
    answer = api.post("/services", json=document)
    assert answer.status_code == 201, answer.text
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

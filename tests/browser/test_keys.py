"""Keys in a real browser: made, used, and revoked in a dialog."""

from __future__ import annotations

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.signing import acs3_headers
from tests.slipway_process import SlipwayProcess

pytestmark = pytest.mark.browser


def test_an_access_key_is_made_used_and_revoked_by_its_name(signed_in: Page, slipway: SlipwayProcess) -> None:
    signed_in.get_by_role("link", name="Keys", exact=True).click()
    signed_in.get_by_role("link", name="Create key").click()
    signed_in.get_by_role("radio", name="Access key").check()
    signed_in.get_by_label("Name", exact=True).fill("ci")
    signed_in.get_by_role("button", name="Create key").click()
    key = (
        signed_in.get_by_label("Id", exact=True).input_value(),
        signed_in.get_by_label("Secret", exact=True).input_value(),
    )

    def status() -> int:
        headers = acs3_headers(key, "GET", "/api/v2/me", host=f"127.0.0.1:{slipway.port}")
        return httpx.get(f"{slipway.address}/api/v2/me", headers=headers, trust_env=False).status_code

    assert status() == 200
    signed_in.get_by_role("link", name="All keys").click()
    expect(signed_in.get_by_role("row", name="ci")).to_contain_text(key[0])
    assert key[1] not in signed_in.content()
    signed_in.get_by_role("link", name="Revoke ci").click()
    dialog = signed_in.get_by_role("dialog")
    dialog.get_by_role("button", name="Revoke").click()
    expect(dialog.get_by_role("alert")).to_contain_text("Type ci")
    dialog.get_by_label("Type ci to confirm").fill("ci")
    dialog.get_by_role("button", name="Revoke").click()
    expect(signed_in.get_by_role("link", name="Revoke ci")).to_have_count(0)
    assert status() == 401

"""Keys in a real browser: made, used, and revoked in a dialog."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.signing import acs3_headers
from tests.slipway_process import SlipwayProcess
from tests.waiting import wait_until

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


def test_an_api_key_for_one_service_is_made_used_seen_in_usage_changed_and_revoked(
    signed_in: Page, slipway: SlipwayProcess, chat_service: str
) -> None:
    page = signed_in
    page.goto("/keys")
    page.get_by_role("link", name="Create API key").click()
    page.get_by_label("Name", exact=True).fill("notebook")
    expect(page.get_by_role("checkbox", name=chat_service)).to_be_hidden()
    page.get_by_role("radio", name="Only these").check()
    page.get_by_role("checkbox", name=chat_service).check()
    page.get_by_text("Limits of this key").click()
    page.get_by_label("Tokens per day").fill("100000")
    page.get_by_role("button", name="Create API key").click()
    secret = page.get_by_label("Key", exact=True).input_value()
    headers = {"Authorization": f"Bearer {secret}"}

    def listed() -> tuple[int, Any]:
        answer = httpx.get(f"{slipway.address}/v1/models", headers=headers, trust_env=False)
        return answer.status_code, answer.json()

    status, models = listed()
    assert (status, [one["id"] for one in models["data"]]) == (200, [chat_service])
    body = {"model": chat_service, "messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 8}
    url = f"{slipway.address}/v1/chat/completions"
    asked = httpx.post(url, json=body, headers=headers, timeout=120, trust_env=False)
    assert asked.status_code == 200, asked.text

    def is_counted() -> bool:
        page.goto("/usage?by=key")
        return page.get_by_role("row", name="notebook").count() == 1

    wait_until(is_counted, "the call is in the usage", 30)
    page.goto("/keys")
    row = page.get_by_role("row", name="notebook")
    expect(row).to_contain_text(chat_service)
    expect(row).to_contain_text("Tokens per day: 100,000")
    assert secret not in page.content()
    row.get_by_role("link", name="Change notebook").click()
    page.get_by_role("checkbox", name="Chat", exact=True).uncheck()
    page.get_by_role("button", name="Save").click()
    page.get_by_text("notebook is changed.").wait_for()
    refused = httpx.post(url, content=json.dumps(body), headers=headers, timeout=60, trust_env=False)
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "scope_missing")
    page.get_by_role("link", name="Revoke notebook").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Type notebook to confirm").fill("notebook")
    dialog.get_by_role("button", name="Revoke").click()
    expect(page.get_by_role("link", name="Revoke notebook")).to_have_count(0)
    wait_until(lambda: listed()[0] == 401, "the key is refused", 5)

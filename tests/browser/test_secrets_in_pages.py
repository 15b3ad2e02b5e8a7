"""No page holds a service's token before it is asked for, and asking is audited (console.md §9, check 21)."""

from __future__ import annotations

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.browser.test_accessibility import PAGES

pytestmark = pytest.mark.browser


def times(api: httpx.Client, action: str, name: str) -> int:
    """How often the audit has ``action`` for the service."""
    rows = api.get("/audit", params={"Action": action, "Target": name, "Actor": "admin"}).json()
    return int(rows["TotalCount"])


def test_no_page_s_html_holds_the_token(signed_in: Page, api: httpx.Client, chat_service: str) -> None:
    token = api.get(f"/services/local/{chat_service}").json()["AccessToken"]
    assert len(token) > 20
    instance = api.get(f"/services/local/{chat_service}/instances").json()["Instances"][0]["InstanceName"]
    looked, holding = 0, []
    for pattern in PAGES:
        if "{failed}" not in pattern:
            path = pattern.format(chat=chat_service, instance=instance)
            answer = signed_in.request.get(path)
            looked += 1
            if token in answer.text():
                holding.append(path)
    assert looked > 30
    assert holding == []


def test_revealing_and_copying_the_token_are_audited_each(
    signed_in: Page, api: httpx.Client, chat_service: str
) -> None:
    def audited() -> tuple[int, int]:
        reveal, copy = (times(api, f"service.{what}_token", chat_service) for what in ("reveal", "copy"))
        return reveal, copy

    page = signed_in
    revealed, copied = audited()
    page.goto(f"/services/{chat_service}/invocation")
    expect(page.get_by_role("tab", name="curl", exact=True)).to_be_visible()
    assert audited() == (revealed, copied)
    page.get_by_role("button", name="Reveal", exact=True).click()
    expect(page.get_by_role("button", name="Hide", exact=True)).to_be_visible()
    assert audited() == (revealed + 1, copied)
    page.locator("[data-copy-token]").click()
    expect(page.locator("[data-copy-token]")).to_contain_text("Copied")
    assert audited() == (revealed + 1, copied + 1)

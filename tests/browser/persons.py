"""People of a test's own: made by an administrator, with a password that they set themselves."""

from __future__ import annotations

import httpx
from playwright.sync_api import Browser, Page, expect

OWN_PASSWORD = "her-own-words-9"


def create_person(api: httpx.Client, name: str) -> str:
    """Somebody of that name, in no workspace; returns the one-time password."""
    answer = api.post("/people", json={"UserName": name})
    assert answer.status_code == 201, answer.text
    secret: str = answer.json()["OneTimePassword"]
    return secret


def sign_in_first(tab: Page, name: str, secret: str) -> None:
    """Sign in with a one-time password, and set ``OWN_PASSWORD`` in its place."""
    tab.goto("/sign-in")
    tab.get_by_label("User name").fill(name)
    tab.get_by_label("Password", exact=True).fill(secret)
    tab.get_by_role("button", name="Sign in", exact=True).click()
    tab.wait_for_url("**/sign-in/new-password")
    tab.get_by_label("New password", exact=True).fill("short")
    tab.get_by_role("button", name="Set password and sign in").click()
    expect(tab.get_by_label("New password", exact=True)).to_have_attribute("aria-invalid", "true")
    tab.get_by_label("New password", exact=True).fill(OWN_PASSWORD)
    tab.get_by_role("button", name="Set password and sign in").click()
    tab.wait_for_url("**/")


def create_owner(chromium: Browser, api: httpx.Client, name: str) -> None:
    """An owner of the first workspace who signs in with ``OWN_PASSWORD``. What they choose is theirs alone."""
    profile = chromium.new_context(base_url=str(api.base_url.join("/")), locale="en-US")
    sign_in_first(profile.new_page(), name, create_person(api, name))
    profile.close()
    answer = api.post("/workspaces/default/members", json={"UserName": name, "Role": "owner"})
    assert answer.status_code == 201, answer.text

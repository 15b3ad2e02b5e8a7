"""What is clicked has the name that the specification gives it, once where it is clicked (console.md §4-§6)."""

from __future__ import annotations

from typing import Literal

import httpx
import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import shorten_answers
from tests.waiting import noticed_ms

pytestmark = pytest.mark.browser

Role = Literal["button", "link", "tab", "textbox", "dialog"]

#: Where, and what stands there once. ``{chat}`` is a service that runs.
NAMES: list[tuple[str, Role, tuple[str, ...]]] = [
    ("/", "link", ("Skip to content", "Services", "Clusters", "Keys", "Usage", "Workspaces", "Settings")),
    ("/", "button", ("Deploy Service",)),
    ("/workspaces", "link", ("Create workspace",)),
    ("/workspaces/default/members", "button", ("Invite", "Change admin")),
    ("/workspaces/default/members", "link", ("Rename", "Delete", "Leave", "Create person")),
    ("/people", "link", ("Create person",)),
    ("/settings/security", "button", ("Change password",)),
    ("/notices", "button", ("Mark all as read",)),
    ("/?q=nothing_like_it", "link", ("Clear filters",)),
    ("/deploy/llm", "button", ("Deploy", "Convert to Custom Deployment")),
    ("/deploy/custom", "button", ("Deploy", "Form", "JSON", "YAML", "Open in the LLM form")),
    ("/deploy/custom?view=yaml", "textbox", ("Service document as YAML",)),
    ("/services/{chat}", "link", ("View Web App", "Invocation Information", "Update Service")),
    ("/services/{chat}", "button", ("More",)),
    ("/services/{chat}/edit", "button", ("Update Service", "Convert to Custom Deployment")),
    ("/services/{chat}/edit", "textbox", ("Reason",)),
    ("/services/{chat}/logs", "button", ("Pause",)),
    ("/services/{chat}/invocation", "tab", ("curl", "Python", "OpenAI", "WebSocket")),
    ("/services/{chat}/invocation", "button", ("Reveal",)),
    ("/services/{chat}/invocation", "link", ("Rotate",)),
    ("/services/{chat}/chat", "textbox", ("Message",)),
    ("/services/{chat}/chat", "button", ("Send", "Parameters", "Conversations")),
]


def place(page: Page | Locator, role: Role, name: str) -> Locator:
    return page.get_by_role(role, name=name, exact=True)


@pytest.mark.parametrize("width", [1280, 375])
def test_every_named_control_is_there_once(signed_in: Page, chat_service: str, width: int) -> None:
    signed_in.set_viewport_size({"width": width, "height": 800})
    wrong: list[str] = []
    for pattern, role, names in NAMES:
        if width == 375 and pattern == "/" and role == "link":
            continue  # in the drawer
        address = pattern.format(chat=chat_service)
        if not signed_in.url.endswith(address):
            signed_in.goto(address)
        for name in names:
            if width == 375 and name == "Update Service" and role == "link":
                place(signed_in, "button", "More").click()
            count = place(signed_in, role, name).count()
            if count != 1:
                wrong.append(f"{address} at {width} px: {count} × {role} {name}")
    assert not wrong, "\n".join(wrong)


def test_a_row_of_the_list_has_its_own(signed_in: Page, chat_service: str) -> None:
    row = signed_in.locator(f"#row-{chat_service}")
    expect(place(row, "link", "View Web App")).to_have_count(1)
    expect(place(row, "link", "Update Service")).to_have_count(1)
    expect(row.locator(f'[data-service="{chat_service}"]')).to_have_attribute("data-status", "Running")
    place(signed_in, "button", "Deploy Service").click()
    expect(place(signed_in, "link", "LLM Deployment")).to_have_count(1)
    place(signed_in, "link", "LLM Deployment").click()
    signed_in.wait_for_url("**/deploy/llm")


def test_following_the_log_is_paused_and_taken_up_by_name(signed_in: Page, chat_service: str) -> None:
    signed_in.goto(f"/services/{chat_service}/logs")
    place(signed_in, "button", "Pause").click()
    place(signed_in, "button", "Follow").click()
    expect(place(signed_in, "button", "Pause")).to_have_count(1)


def test_an_older_version_has_its_switch(signed_in: Page, api: httpx.Client) -> None:
    program = {"image": "a:1", "script": "true"}
    document = {"metadata": {"name": "named_versions", "instance": 0}, "containers": [program]}
    assert api.post("/services", json=document).status_code == 201
    program["image"] = "a:2"
    assert api.put("/services/local/named_versions", json=document).status_code == 200
    signed_in.goto("/services/named_versions/versions")
    place(signed_in, "link", "Switch").click()
    expect(signed_in.get_by_role("dialog")).to_have_count(1)
    place(signed_in.get_by_role("dialog"), "button", "Switch").click()
    expect(signed_in.locator("#revision-1").get_by_text("Wanted", exact=True)).to_be_visible()


def test_a_chat_is_renamed_deleted_and_brought_back_by_keyboard(signed_in: Page, chat_service: str) -> None:
    signed_in.goto(f"/services/{chat_service}/chat")
    shorten_answers(signed_in)
    place(signed_in, "textbox", "Message").fill("Keys only.")
    signed_in.keyboard.press("Enter")
    expect(signed_in.locator(".turn[data-status=finished] [data-role=assistant]")).to_have_count(
        1, timeout=noticed_ms(60_000)
    )
    expect(place(signed_in, "button", "Regenerate")).to_have_count(1)
    more = place(signed_in, "button", "More for Keys only.")
    reach(signed_in, more, "Rename")
    field = place(signed_in, "textbox", "Title")
    expect(field).to_be_focused()
    signed_in.keyboard.press("Escape")
    expect(signed_in.get_by_role("link", name="Keys only.", exact=True)).to_be_focused()
    reach(signed_in, more, "Rename")
    signed_in.keyboard.type("By keys")
    signed_in.keyboard.press("Enter")
    link = signed_in.get_by_role("link", name="By keys", exact=True)
    expect(link).to_be_focused()
    expect(signed_in.get_by_role("heading", name="By keys", exact=True)).to_be_visible()
    more = place(signed_in, "button", "More for By keys")
    reach(signed_in, more, "Delete")
    expect(place(signed_in, "button", "Undo")).to_be_focused()
    signed_in.keyboard.press("Enter")
    expect(link).to_be_focused()


def reach(page: Page, more: Locator, name: str) -> None:
    """Open a menu and press one of its buttons with the keyboard alone."""
    more.focus()
    page.keyboard.press("Enter")
    button = place(page, "button", name)
    for _ in range(6):
        page.keyboard.press("Tab")
        if button.evaluate("one => one === document.activeElement"):
            page.keyboard.press("Enter")
            return
    pytest.fail(f"{name} is not within reach of Tab")

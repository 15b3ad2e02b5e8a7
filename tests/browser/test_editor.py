"""The editor of the service document in a browser (console.md §4 "Editor", §9 checks 13, 16, 17)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from deployments.spec.text import YAML, read_text, write_text
from tests.browser.conftest import sign_in
from tests.slipway_process import SlipwayProcess
from tests.waiting import wait_until

pytestmark = pytest.mark.browser

BROKEN = """metadata:
  name: from_editor
  cpu: lots
containers:
- image: python:3.11
  script: python3 -m http.server $PORT
  port: 8080
storage:
- mount_path: /etc/x
  empty_dir: {}
"""


@pytest.fixture
def gone(api: httpx.Client) -> Iterator[list[str]]:
    names: list[str] = []
    yield names
    for name in names:
        api.delete(f"/services/local/{name}")
    wait_until(lambda: all(api.get(f"/services/local/{one}").status_code == 404 for one in names), "they are gone", 60)


def open_view(page: Page, view: str) -> Locator:
    page.get_by_role("group", name="View").get_by_role("button", name=view, exact=True).click()
    expect(page.locator("#editor[data-ready]")).to_have_count(1)
    editor = page.get_by_role("textbox", name=f"Service document as {view}")
    expect(editor).to_be_visible()
    return editor


def write(editor: Locator, text: str) -> None:
    """Put text in as one paste would."""
    editor.click()
    editor.press("Control+A")
    editor.page.keyboard.insert_text(text)


def complete(page: Page, typed: str, option: str) -> None:
    """Type and accept what is offered. In the first moment the editor takes no Enter: it may be a new line."""
    page.keyboard.type(typed)
    expect(page.get_by_role("option", name=option)).to_be_visible()
    page.wait_for_timeout(150)
    page.keyboard.press("Enter")


def text_in(page: Page) -> str:
    return page.locator("#f-document").input_value()


@pytest.fixture
def yaml_editor(signed_in: Page) -> Locator:
    signed_in.goto("/deploy/custom")
    return open_view(signed_in, "YAML")


def test_form_json_and_yaml_are_one_document(signed_in: Page, api: httpx.Client, gone: list[str]) -> None:
    """Check 16 in every view: document and command come before Deploy."""
    page = signed_in
    page.goto("/deploy/custom")
    page.get_by_label("Service Name").fill("three_views")
    editor = open_view(page, "YAML")
    assert read_text(text_in(page), YAML).document["metadata"]["name"] == "three_views"
    write(
        editor,
        text_in(page).replace("memory: 512", "memory: 600\nlabels:\n  team: harbour").replace("  memory", "  memory"),
    )
    expect(page.locator("#document-verdict")).to_have_text("The document is right")
    expect(page.locator("#command")).to_contain_text("http.server")
    open_view(page, "JSON")
    assert json.loads(text_in(page))["labels"] == {"team": "harbour"}
    page.get_by_role("button", name="Form", exact=True).click()
    expect(page.get_by_label("Memory", exact=True)).to_have_value("600")
    expect(page.locator("#part-document")).to_contain_text("labels")
    expect(page.locator("#document")).to_contain_text("harbour")
    gone.append("three_views")
    page.get_by_role("button", name="Deploy", exact=True).click()
    page.wait_for_url("**/services/three_views")
    config = json.loads(api.get("/services/local/three_views").json()["ServiceConfig"])
    assert config["labels"]["team"] == "harbour"
    assert config["metadata"]["memory"] == 600


def test_errors_stand_at_their_lines_and_f8_goes_through_them(yaml_editor: Locator) -> None:
    """Check 13 in the editor: cures named, text kept, focus on the summary."""
    page = yaml_editor.page
    write(yaml_editor, BROKEN)
    listed = page.locator("#document-errors li")
    expect(listed).to_have_count(3)
    expect(listed.nth(0)).to_contain_text("Line 3, column 3")
    expect(listed.nth(1)).to_contain_text("Line 7, column 3")
    expect(listed.nth(2)).to_contain_text("Line 9, column 3")
    expect(page.locator(".cm-lintRange-error")).not_to_have_count(0)
    expect(page.locator(".cm-lint-marker-error")).to_have_count(3)
    yaml_editor.press("Control+Home")
    for line in ("cpu: lots", "port: 8080", "mount_path: /etc/x"):
        page.keyboard.press("F8")
        expect(page.locator(".cm-activeLine")).to_contain_text(line)
    page.keyboard.press("Shift+F8")
    expect(page.locator(".cm-activeLine")).to_contain_text("port: 8080")
    page.get_by_role("button", name="Deploy", exact=True).click()
    summary = page.get_by_role("alert").filter(has_text="3 things to correct")
    expect(summary).to_be_focused()
    expect(page).to_have_title(re.compile("^Error: "))
    assert text_in(page).strip() == BROKEN.strip()
    summary.get_by_role("link", name=re.compile("Line 7")).click()
    expect(page.locator(".cm-activeLine")).to_contain_text("port: 8080")
    expect(yaml_editor).to_be_focused()


def test_syntax_errors_have_line_and_column(yaml_editor: Locator) -> None:
    page = yaml_editor.page
    write(yaml_editor, "metadata:\n\tname: tabbed\n")
    expect(page.locator("#document-errors")).to_contain_text("Line 2, column 1")
    expect(page.locator("#document-errors")).to_contain_text("Use spaces")
    page.get_by_role("button", name="JSON", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("Line 2: The line is indented with a tab")
    expect(yaml_editor).to_be_visible()


def test_names_and_values_are_completed_in_yaml(yaml_editor: Locator) -> None:
    page = yaml_editor.page
    write(yaml_editor, "metadata:\n  name: completed\n  ")
    complete(page, "term", "eas.termination_grace_period")
    page.keyboard.type("5")
    wait_until(lambda: text_in(page).endswith("\n  eas.termination_grace_period: 5"), "the name was completed", 10)
    write(yaml_editor, "labels:\n  ServiceEngineType: ")
    page.keyboard.press("Control+Space")
    expect(page.get_by_role("option", name="vllm")).to_be_visible()
    complete(page, "bl", "bladellm")
    wait_until(lambda: text_in(page) == "labels:\n  ServiceEngineType: bladellm", "the value was completed", 10)


def test_names_and_values_are_completed_in_json(signed_in: Page) -> None:
    page = signed_in
    page.goto("/deploy/custom")
    editor = open_view(page, "JSON")
    write(editor, "{")
    complete(page, '"lab', "labels")
    complete(page, '"Serv', "ServiceEngineType")
    complete(page, "vl", '"vllm"')
    wait_until(lambda: '{"labels": {"ServiceEngineType": "vllm"}' in text_in(page), "both were completed", 10)


def test_tab_indents_and_escape_then_tab_leaves(yaml_editor: Locator) -> None:
    page = yaml_editor.page
    write(yaml_editor, "a: 1")
    page.keyboard.press("Home")
    page.keyboard.press("Tab")
    wait_until(lambda: text_in(page) == "  a: 1", "Tab indented", 5)
    expect(yaml_editor).to_be_focused()
    page.keyboard.press("Escape")
    page.keyboard.press("Tab")
    expect(yaml_editor).not_to_be_focused()
    assert text_in(page) == "  a: 1"


def test_letters_that_are_shortcuts_elsewhere_are_text_here(yaml_editor: Locator) -> None:
    page = yaml_editor.page
    write(yaml_editor, "")
    page.keyboard.type("# d/?jkx c gs")
    wait_until(lambda: text_in(page) == "# d/?jkx c gs", "all was typed", 5)
    assert page.url.endswith("/deploy/custom?view=yaml")


def test_a_draft_in_the_editor_survives_a_reload(yaml_editor: Locator) -> None:
    page = yaml_editor.page
    page.on("dialog", lambda dialog: dialog.accept())
    write(yaml_editor, "# half\nmetadata: [")
    expect(page.locator("#document-errors")).to_be_visible()
    page.reload()
    expect(page.get_by_text("Your unfinished form is back")).to_be_visible()
    expect(page.locator("#editor[data-ready]")).to_have_count(1)
    assert text_in(page) == "# half\nmetadata: ["
    expect(page.locator(".cm-content")).to_contain_text("# half")


def test_a_starter_takes_the_place_and_undo_brings_back(yaml_editor: Locator) -> None:
    page = yaml_editor.page
    write(yaml_editor, "# mine\nmetadata:\n  name: mine\n")
    page.locator("#starters summary").click()
    page.get_by_role("button", name="vLLM with an OSS mount").click()
    expect(page.locator(".cm-content")).to_contain_text("vllm serve /model_dir")
    undo = page.get_by_role("button", name="Undo", exact=True)
    expect(undo).to_be_focused()
    undo.press("Enter")
    expect(page.locator(".cm-content")).to_contain_text("# mine")
    assert text_in(page).strip() == "# mine\nmetadata:\n  name: mine"


def test_a_file_is_dropped_on_the_page(signed_in: Page) -> None:
    page = signed_in
    page.goto("/deploy/custom")
    document: dict[str, Any] = {"metadata": {"name": "dropped"}, "containers": [{"image": "a:1", "script": "true"}]}
    transfer = page.evaluate_handle(
        """(text) => { const one = new DataTransfer();
                       one.items.add(new File([text], "service.yaml")); return one; }""",
        write_text(document, YAML),
    )
    page.dispatch_event("#deploy-form", "drop", {"dataTransfer": transfer})
    expect(page.get_by_label("Service Name")).to_have_value("dropped")
    expect(page.locator("#undo-notice")).to_contain_text("service.yaml")


def test_saving_in_the_editor_says_what_restarts_and_shows_secrets_as_changed(
    signed_in: Page, api: httpx.Client, gone: list[str]
) -> None:
    """Check 17 from the editor."""
    page = signed_in
    program = {"image": "python:3.11", "script": "python3 -m http.server $PORT", "port": 8000}
    document = {
        "metadata": {"name": "edited_text", "instance": 0},
        "containers": [{**program, "env": [{"name": "KEY", "value": "old-secret"}]}],
    }
    gone.append("edited_text")
    assert api.post("/services", json=document).status_code == 201
    page.goto("/services/edited_text/edit?form=custom")
    editor = open_view(page, "YAML")
    write(editor, text_in(page).replace("old-secret", "new-secret").replace("python:3.11", "python:3.12"))
    diff = page.locator("#diff")
    expect(diff).to_contain_text("2 changes")
    expect(diff).to_contain_text("No restart: no instance runs.")
    expect(diff.get_by_role("row", name="containers[0].image")).to_contain_text("python:3.12")
    expect(diff.get_by_role("row", name="containers[0].env[0].value")).to_contain_text("changed")
    expect(diff).not_to_contain_text("secret-")
    page.get_by_label("Reason").fill("A newer Python")
    page.get_by_role("button", name="Update Service").click()
    page.wait_for_url("**/services/edited_text")
    page.goto("/services/edited_text/versions")
    expect(page.locator("#revision-2")).to_contain_text("A newer Python")


def test_two_people_meet_in_the_editor(signed_in: Page, api: httpx.Client, gone: list[str]) -> None:
    page = signed_in
    program = {"image": "python:3.11", "script": "true", "port": 8000}
    document: dict[str, Any] = {"metadata": {"name": "two_people", "instance": 0, "cpu": 1}, "containers": [program]}
    gone.append("two_people")
    assert api.post("/services", json=document).status_code == 201
    page.goto("/services/two_people/edit?form=custom")
    editor = open_view(page, "JSON")
    document["metadata"]["cpu"] = 2
    assert api.put("/services/local/two_people", params={"Reason": "More cores"}, json=document).status_code == 200
    write(editor, text_in(page).replace("python:3.11", "python:3.12"))
    meanwhile = page.locator("#meanwhile")
    expect(meanwhile).to_contain_text("admin saved r2 meanwhile")
    expect(meanwhile).to_contain_text("More cores")
    page.get_by_role("button", name="Update Service").click()
    expect(page.locator("#error-summary")).to_contain_text("Compare, then save.")
    page.get_by_role("button", name="Add their changes to mine").click()
    expect(meanwhile).to_have_count(0)
    merged = json.loads(text_in(page))
    assert merged["metadata"]["cpu"] == 2
    assert merged["containers"][0]["image"] == "python:3.12"
    page.get_by_role("button", name="Update Service").click()
    page.wait_for_url("**/services/two_people")


def test_the_editor_is_a_plain_field_without_scripts(
    chromium: Browser, slipway: SlipwayProcess, gone: list[str]
) -> None:
    profile = chromium.new_context(base_url=slipway.address, java_script_enabled=False)
    page = profile.new_page()
    sign_in(page)
    page.goto("/deploy/custom")
    page.get_by_role("button", name="YAML", exact=True).click()
    field = page.get_by_label("Service document as YAML")
    field.fill(field.input_value().replace("name: custom", "name: plain_yaml").replace("port: 8000", "port: 8080"))
    page.get_by_role("button", name="Deploy", exact=True).click()
    expect(page.locator("#error-summary")).to_contain_text("Line 9: containers[0].port 8080 is reserved")
    field.fill(field.input_value().replace("port: 8080", "port: 8000"))
    gone.append("plain_yaml")
    page.get_by_role("button", name="Deploy", exact=True).click()
    page.wait_for_url("**/services/plain_yaml")
    profile.close()


def test_the_textarea_stays_where_the_editor_cannot_be_loaded(signed_in: Page) -> None:
    page = signed_in
    page.route("**/chunks/editor*", lambda route: route.abort())
    page.goto("/deploy/custom")
    page.get_by_role("button", name="JSON", exact=True).click()
    field = page.get_by_label("Service document as JSON")
    field.fill('{"metadata": {"name": "x y"}}')
    expect(page.locator("#document-errors")).to_contain_text("Line 1")


@pytest.mark.parametrize("view", ["JSON", "YAML"])
def test_the_editor_fits_a_phone(signed_in: Page, view: str) -> None:
    signed_in.set_viewport_size({"width": 375, "height": 740})
    signed_in.goto("/deploy/custom")
    open_view(signed_in, view)
    assert signed_in.evaluate("document.documentElement.scrollWidth") == 375


def test_a_document_of_a_megabyte_is_edited(yaml_editor: Locator) -> None:
    page = yaml_editor.page
    page.set_default_timeout(60_000)
    lines = "".join(f"    note_{number}: {'x' * 90}\n" for number in range(9_000))
    page.evaluate(
        """(text) => { const field = document.getElementById("f-document"); field.value = text;
                       field.dispatchEvent(new Event("input", { bubbles: true })); }""",
        "metadata:\n  name: large\ncontainers:\n- image: a:1\n  notes:\n" + lines,
    )
    expect(page.locator("#document-verdict")).to_have_text("The document is right", timeout=60_000)
    expect(page.locator(".cm-content")).to_contain_text("note_1")

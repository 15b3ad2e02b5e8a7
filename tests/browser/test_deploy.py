"""The deployment forms in a browser (console.md §9, checks 13, 14, 15, 16, 17, 28)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import sign_in, wait_status
from tests.slipway_process import SlipwayProcess
from tests.waiting import wait_until

pytestmark = pytest.mark.browser


@pytest.fixture
def form(signed_in: Page) -> Page:
    """The LLM form; leaving it asks nothing in a test."""
    signed_in.goto("/deploy/llm")
    expect(signed_in.locator("#deploy-form")).to_be_visible()
    return signed_in


@pytest.fixture
def gone(api: httpx.Client) -> Iterator[list[str]]:
    """Names of services that are deleted after the test, and waited for: others count what is there."""
    names: list[str] = []
    yield names
    for name in names:
        api.delete(f"/services/local/{name}")
    wait_until(lambda: services(api).isdisjoint(names), f"{names} are gone", 60)


def services(api: httpx.Client) -> set[str]:
    return {one["ServiceName"] for one in api.get("/services", params={"PageSize": "100"}).json()["Services"]}


def test_document_and_command_come_before_deploy_and_follow_the_fields(form: Page, api: httpx.Client) -> None:
    """Check 16."""
    before = services(api)
    expect(form.locator("#command")).to_contain_text("--model-path=SmolLM2-135M-Instruct")
    document = json.loads(form.locator("#document").inner_text())
    assert document["metadata"]["name"] == form.get_by_label("Service Name").input_value()
    button = form.get_by_role("button", name="Deploy", exact=True)
    expect(button).to_be_in_viewport()
    assert form.evaluate(
        """() => Boolean(document.getElementById("document").compareDocumentPosition(
                 document.getElementById("deploy-button")) & Node.DOCUMENT_POSITION_FOLLOWING)"""
    )
    memory = form.get_by_label("Memory", exact=True)
    memory.fill("3072")
    expect(form.locator("#document")).to_contain_text('"memory": 3072')
    expect(memory).to_be_focused()
    assert services(api) == before


def test_typing_on_is_never_overwritten_by_an_older_answer(form: Page) -> None:
    name = form.get_by_label("Service Name")
    name.fill("")
    name.press_sequentially("a_name_that_takes_a_while_to_type", delay=40)
    expect(form.locator("#document")).to_contain_text("a_name_that_takes_a_while_to_type")
    expect(name).to_have_value("a_name_that_takes_a_while_to_type")
    expect(name).to_be_focused()


def test_three_errors_are_summed_up_with_cures_and_values_kept(form: Page, api: httpx.Client) -> None:
    """Check 13."""
    before = services(api)
    form.get_by_label("Service Name").fill("My Chat")
    form.get_by_label("CPU", exact=True).fill("many")
    form.get_by_label("Instances").fill("5000")
    form.get_by_role("button", name="Deploy", exact=True).click()
    summary = form.get_by_role("alert").filter(has_text="3 things to correct")
    expect(summary).to_be_focused()
    expect(form).to_have_title(re.compile("^Error: "))
    expect(summary).to_contain_text("Use `my_chat`?")
    expect(summary).to_contain_text("CPU must be a number over 0")
    expect(summary).to_contain_text("Instances must be a whole number from 0 to 1,000")
    for label, value in (("Service Name", "My Chat"), ("CPU", "many"), ("Instances", "5000")):
        expect(form.get_by_label(label, exact=True)).to_have_value(value)
        expect(form.get_by_label(label, exact=True)).to_have_attribute("aria-invalid", "true")
    summary.get_by_role("link", name="CPU").click()
    expect(form.get_by_label("CPU", exact=True)).to_be_focused()
    form.get_by_label("CPU", exact=True).fill("1")
    expect(form.locator("#f-cpu-error")).to_have_count(0)
    assert services(api) == before


def test_a_name_is_checked_when_the_field_is_left(form: Page, chat_service: str) -> None:
    name = form.get_by_label("Service Name")
    name.fill(chat_service)
    name.press("Tab")
    expect(form.locator("#f-service_name-error")).to_contain_text(f"A service named {chat_service} exists already")


def test_a_new_model_keeps_touched_fields_and_lists_the_rest(form: Page) -> None:
    """Check 14."""
    form.get_by_label("CPU", exact=True).fill("1.5")
    form.get_by_label("Model Type").first.fill("qwen2-7b")
    form.get_by_role("radio", name="Qwen2-7b").check()
    resets = form.locator("#resets")
    expect(resets).to_contain_text("GPUs: 0 → 1")
    expect(resets).to_contain_text("Kept as you set them: CPU.")
    expect(form.get_by_label("CPU", exact=True)).to_have_value("1.5")
    expect(form.get_by_label("GPUs", exact=True)).to_have_value("1")
    expect(form.get_by_label("Service Name")).to_have_value("qwen2_7b")


def test_misfits_are_visible_with_what_they_lack_and_deploying_one_says_why(form: Page, api: httpx.Client) -> None:
    """Check 15."""
    before = services(api)
    row = form.locator(".model-row", has_text="Qwen2-72b")
    expect(row).to_contain_text(re.compile(r"[\d.]+ GiB of GPU memory short"))
    row.get_by_role("radio").check()
    expect(form.locator("#fit")).to_contain_text("Does not fit here")
    form.get_by_role("button", name="Deploy", exact=True).click()
    expect(form.locator("#error-summary")).to_contain_text("Needs a GPU with")
    assert services(api) == before


def test_the_keyboard_alone_deploys(form: Page, api: httpx.Client, gone: list[str]) -> None:
    """Check 28: Tab to the name, type, Ctrl+Enter."""
    form.locator("body").press("Tab")
    for _ in range(40):
        if form.evaluate("document.activeElement.name") == "service_name":
            break
        form.keyboard.press("Tab")
    form.keyboard.press("Control+A")
    form.keyboard.type("by_keyboard")
    gone.append("by_keyboard")
    form.keyboard.press("Control+Enter")
    form.wait_for_url("**/services/by_keyboard")
    assert "by_keyboard" in services(api)


def test_a_draft_survives_leaving_and_can_be_started_over(form: Page) -> None:
    form.on("dialog", lambda dialog: dialog.accept())
    form.get_by_label("Service Name").fill("half_written")
    expect(form.locator("#document")).to_contain_text("half_written")
    form.goto("/")
    form.goto("/deploy/llm")
    expect(form.get_by_text("Your unfinished form is back")).to_be_visible()
    expect(form.get_by_label("Service Name")).to_have_value("half_written")
    form.get_by_role("button", name="Start over").click()
    expect(form.get_by_label("Service Name")).to_have_value(re.compile("^smollm2"))


def test_an_update_says_what_it_restarts_and_applies_it(signed_in: Page, api: httpx.Client, gone: list[str]) -> None:
    """Check 17."""
    document = {"service_name": "to_update", "model": "SmolLM2-135M-Instruct"}
    gone.append("to_update")
    assert api.post("/llm-services", json=document).status_code == 201
    wait_status(api, "to_update", "Running")
    page = signed_in
    page.goto("/services/to_update/edit")
    expect(page.locator("#effect")).to_contain_text("Nothing changes yet.")
    page.get_by_label("Memory", exact=True).fill("3072")
    expect(page.locator("#effect")).to_contain_text("Restarts 1 instance.")
    expect(page.locator("#effect")).to_contain_text("metadata.memory")
    page.get_by_role("button", name="Update Service").click()
    page.wait_for_url("**/services/to_update")
    wait_status(api, "to_update", "Running")
    config = json.loads(api.get("/services/local/to_update").json()["ServiceConfig"])
    assert config["metadata"]["memory"] == 3072


def test_a_custom_program_is_deployed_with_rows_added_by_keyboard(
    signed_in: Page, api: httpx.Client, gone: list[str]
) -> None:
    page = signed_in
    page.goto("/deploy/custom")
    gone.append("by_rows")
    page.get_by_label("Service Name").fill("by_rows")
    page.get_by_role("textbox", name="Name", exact=True).first.fill("MODE")
    page.get_by_role("textbox", name="Value", exact=True).first.fill("fast")
    page.get_by_role("button", name="Add variable").press("Enter")
    rows = page.locator(".env-row")
    expect(rows.last.get_by_role("textbox", name="Name", exact=True)).to_be_focused()
    page.keyboard.type("LEVEL")
    page.keyboard.press("Tab")
    page.keyboard.type("3")
    expect(page.locator("#document")).to_contain_text('"LEVEL"')
    page.get_by_role("button", name="Deploy", exact=True).click()
    page.wait_for_url("**/services/by_rows")
    config = json.loads(api.get("/services/local/by_rows").json()["ServiceConfig"])
    assert config["containers"][0]["env"] == [{"name": "MODE", "value": "fast"}, {"name": "LEVEL", "value": "3"}]


def test_the_form_works_without_scripts(chromium: Browser, slipway: SlipwayProcess, gone: list[str]) -> None:
    profile = chromium.new_context(base_url=slipway.address, java_script_enabled=False)
    page = profile.new_page()
    sign_in(page)
    page.goto("/deploy/llm")
    page.get_by_role("radio", name="Qwen2-7b").check()
    page.get_by_role("button", name="Preview").click()
    expect(page.locator("#command")).to_contain_text("Qwen2-7B")
    page.get_by_role("radio", name="SmolLM2-135M-Instruct").check()
    page.get_by_label("Service Name").fill("no_scripts")
    gone.append("no_scripts")
    page.get_by_role("button", name="Deploy", exact=True).click()
    page.wait_for_url("**/services/no_scripts")
    profile.close()


@pytest.mark.parametrize("address", ["/deploy/llm", "/deploy/custom"])
def test_a_phone_shows_all_of_it_without_scrolling_sideways(signed_in: Page, address: str) -> None:
    signed_in.set_viewport_size({"width": 375, "height": 740})
    signed_in.goto(address)
    assert signed_in.evaluate("document.documentElement.scrollWidth") == 375
    expect(signed_in.get_by_role("button", name="Deploy", exact=True)).to_be_in_viewport()

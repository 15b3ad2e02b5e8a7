"""What one waits for, what failed, and what happened meanwhile (console.md §9, checks 8, 9, 10 and 18; the bell)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import wait_status
from tests.waiting import noticed_ms

pytestmark = pytest.mark.browser
SERVER = "exec python3 -m http.server --bind 127.0.0.1 $PORT"


def create(api: httpx.Client, name: str, script: str, image: str = "tools:1", **metadata: Any) -> None:
    document = {
        "metadata": {"name": name, "instance": 1, "eas.termination_grace_period": 1, **metadata},
        "containers": [{"image": image, "script": script, "port": 8000}],
    }
    answer = api.post("/services", json=document)
    assert answer.status_code == 201, answer.text


def test_waiting_shows_step_seconds_and_usual_time_and_a_way_out(
    signed_in: Page, api: httpx.Client, tmp_path: Path
) -> None:
    delay = tmp_path / "delay"
    delay.write_text("1")
    create(api, "waits_a", f"sleep $(cat {delay}); {SERVER}")
    wait_status(api, "waits_a", "Running")
    api.put("/services/local/waits_a/stop")
    wait_status(api, "waits_a", "Stopped")
    delay.write_text("60")
    api.put("/services/local/waits_a/start")
    signed_in.goto("/services/waits_a")
    card = signed_in.locator("#starting")
    expect(card).to_contain_text("Starting the program")
    expect(card).to_contain_text("Usually ready after")
    # The seconds go on where nobody can be asked.
    signed_in.context.set_offline(True)
    seconds = card.locator("[data-since]:visible")
    before = seconds.inner_text()
    expect(seconds).not_to_have_text(before)
    expect(card).to_contain_text(re.compile(r"Longer than usual: \d+ s, usually"))
    signed_in.context.set_offline(False)
    way_out = signed_in.get_by_role("link", name="Stop instead")
    expect(way_out).to_be_visible(timeout=noticed_ms(20_000))
    way_out.click()
    signed_in.get_by_role("dialog").get_by_role("button", name="Stop").click()
    wait_status(api, "waits_a", "Stopped")
    expect(card).to_have_count(0)


def test_out_of_memory_shows_need_limit_cure_and_log_and_the_cure_cures(signed_in: Page, api: httpx.Client) -> None:
    script = "python webui/webui_server.py --port=8000 --model-path=SmolLM2-135M-Instruct"
    create(api, "oom_a", script, "chat-llm-webui:3.0", memory=300)
    wait_status(api, "oom_a", "Failed")
    signed_in.goto("/services/oom_a")
    card = signed_in.locator("#failure")
    expect(card).to_contain_text(re.compile(r"Out of memory: the model needs [\d.]+ GiB, the limit is 0.29 GiB"))
    expect(card).to_contain_text("OutOfMemory")
    expect(card).to_contain_text("the limit is 300 MiB")
    signed_in.get_by_role("link", name="Set the memory to 2 GiB").click()
    signed_in.wait_for_url("**/edit?memory=2048*")
    memory = signed_in.locator("#f-memory")
    expect(memory).to_be_focused()
    expect(memory).to_have_value("2048")
    signed_in.get_by_role("button", name="Update Service", exact=True).click()
    signed_in.wait_for_url("**/services/oom_a")
    wait_status(api, "oom_a", "Running")
    # Tomorrow, too: the failure is kept with its numbers and its log.
    signed_in.goto("/services/oom_a/events?type=Warning")
    told = signed_in.locator(".timeline > li", has_text="Out of memory")
    expect(told).to_have_count(1)
    told.get_by_text("Last lines of the log").click()
    expect(told).to_contain_text("the limit is 300 MiB")


def test_a_failed_start_has_a_cause_and_a_log_to_read(signed_in: Page, api: httpx.Client) -> None:
    create(api, "flag_a", "echo about to begin; python3 -m http.server --bnid=127.0.0.1")
    wait_status(api, "flag_a", "Failed")
    signed_in.goto("/services/flag_a")
    card = signed_in.locator("#failure")
    expect(card).to_contain_text("The program does not know the flag --bnid. It exited 3 times")
    card.get_by_role("link", name="Whole log").click()
    expect(signed_in.get_by_text("about to begin").first).to_be_visible()
    signed_in.goto("/services/flag_a")
    signed_in.get_by_role("link", name="Correct the command").click()
    expect(signed_in.locator("#f-run")).to_be_focused()


def test_starts_are_walked_with_n_and_p(signed_in: Page, api: httpx.Client) -> None:
    create(api, "walks_a", SERVER)
    wait_status(api, "walks_a", "Running")
    api.put("/services/local/walks_a/stop")
    wait_status(api, "walks_a", "Stopped")
    api.put("/services/local/walks_a/start")
    wait_status(api, "walks_a", "Running")
    signed_in.goto("/services/walks_a/events")
    starts = signed_in.locator("details.start")
    expect(starts).to_have_count(2)
    expect(starts.nth(0)).to_have_attribute("open", "")
    expect(starts.nth(0)).to_contain_text("Waiting for a worker")
    signed_in.keyboard.press("n")
    expect(starts.nth(1)).to_have_attribute("open", "")
    expect(starts.nth(1).locator("summary")).to_be_focused()
    expect(starts.nth(0)).not_to_have_attribute("open", "")
    signed_in.keyboard.press("p")
    expect(starts.nth(0)).to_have_attribute("open", "")


def test_deleting_states_the_loss_and_escape_cancels(signed_in: Page, api: httpx.Client) -> None:
    create(api, "loss_a", SERVER)
    wait_status(api, "loss_a", "Running")
    signed_in.goto("/services/loss_a")
    signed_in.get_by_role("button", name="More").click()
    signed_in.locator("#service-menu").get_by_role("link", name="Delete").click()
    dialog = signed_in.get_by_role("dialog")
    expect(dialog).to_contain_text("Ends 1 instance and removes 1 version")
    signed_in.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    expect(signed_in.locator("#more")).to_be_focused()
    assert api.get("/services/local/loss_a").json()["Status"] == "Running"


def test_the_bell_tells_what_happened_elsewhere_until_it_is_read(signed_in: Page, api: httpx.Client) -> None:
    create(api, "rings_a", SERVER)
    wait_status(api, "rings_a", "Running")
    signed_in.goto("/keys")
    signed_in.locator("#live-indicator[data-state=live]").wait_for()
    api.put("/services/local/rings_a/stop")
    bell = signed_in.locator("#bell")
    expect(bell).to_have_attribute("aria-label", re.compile(r"Notices, \d+ unread"))
    expect(signed_in.locator("#announcer")).to_have_text("rings_a has stopped.")
    bell.click()
    menu = signed_in.locator("#bell-menu")
    expect(menu.locator("li").first).to_contain_text("rings_a has stopped.")
    menu.get_by_role("button", name="Mark all as read").click()
    expect(bell).to_have_attribute("aria-label", "Notices, none unread")
    expect(signed_in.locator("#bell-count")).to_be_hidden()
    # Whoever looks at the service has seen it happen: nothing is left to read.
    signed_in.keyboard.press("Escape")
    signed_in.goto("/services/rings_a")
    signed_in.locator("#live-indicator[data-state=live]").wait_for()
    api.put("/services/local/rings_a/start")
    expect(signed_in.locator("#announcer")).to_have_text("rings_a runs again.")
    expect(signed_in).to_have_title(re.compile("^Running"))
    expect(signed_in.locator("link[rel=icon]")).to_have_attribute("href", re.compile("favicon-ok"))
    expect(bell).to_have_attribute("aria-label", "Notices, none unread")

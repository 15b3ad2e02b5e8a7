"""Online debugging in a browser, with the real model: status, headers, times, raw answer, tries, curl."""

from __future__ import annotations

import re
import subprocess

import pytest
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser


def open_debug(page: Page, name: str) -> Page:
    page.goto(f"/services/{name}")
    page.get_by_role("link", name="Online debugging", exact=True).click()
    page.wait_for_url(f"**/services/{name}/debug")
    return page


def test_the_sample_works_as_it_stands(signed_in: Page, chat_service: str) -> None:
    page = open_debug(signed_in, chat_service)
    page.get_by_role("button", name="Send", exact=True).click()
    expect(page.locator("#debug-status")).to_have_text(re.compile("^200"))
    expect(page.locator("#debug-answer")).to_contain_text('"response"')
    expect(page.locator("#debug-facts")).to_contain_text(re.compile(r"first byte after .* whole after .* bytes"))
    page.get_by_text("Headers", exact=True).click()
    expect(page.locator("#debug-headers pre")).to_contain_text("content-type: application/json")


def test_a_stream_arrives_in_pieces_and_is_stopped(signed_in: Page, chat_service: str) -> None:
    page = open_debug(signed_in, chat_service)
    page.get_by_label("Protocol").select_option("chat-stream")
    page.get_by_label("Body").fill(
        '{"model": "x", "messages": [{"role": "user", "content": "Count to a thousand."}], "stream": true,'
        ' "max_tokens": 4000, "ignore_eos": true}'
    )
    page.get_by_label("Body").press("Control+Enter")
    expect(page.locator("#debug-answer")).to_contain_text("data: {")
    page.get_by_role("button", name="Stop", exact=True).click()
    expect(page.locator("#debug-notice")).to_have_text("Stopped.")
    expect(page.get_by_role("button", name="Send", exact=True)).to_be_visible()


def test_an_error_is_explained_and_its_try_fills_the_form_again(signed_in: Page, chat_service: str) -> None:
    page = open_debug(signed_in, chat_service)
    page.get_by_label("Path").fill("v1/no/such")
    page.get_by_role("button", name="Send", exact=True).click()
    expect(page.locator("#debug-status")).to_have_text(re.compile("^404"))
    expect(page.locator("#debug-notice")).to_contain_text("nothing at this path")
    page.get_by_label("Protocol").select_option("models")
    page.get_by_role("button", name="Send", exact=True).click()
    expect(page.locator("#debug-status")).to_have_text(re.compile("^200"))
    page.reload()
    tries = page.locator("#debug-tries button")
    expect(tries).to_have_count(2)
    tries.last.click()
    expect(page.get_by_label("Path")).to_have_value("/v1/no/such")


def test_the_copied_curl_runs_as_pasted(signed_in: Page, chat_service: str) -> None:
    page = open_debug(signed_in, chat_service)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_label("Protocol").select_option("eas-text")
    page.get_by_label("Body").fill("Say 'hello' to \"them\" $HOME")
    page.get_by_role("button", name="Copy as curl", exact=True).click()
    expect(page.get_by_role("button", name="Copied", exact=True)).to_be_visible()
    command = page.evaluate("navigator.clipboard.readText()")
    assert "$HOME" in command
    script = f"{command} -s -o /dev/null -w '%{{http_code}}' -m 60"
    done = subprocess.run(["sh", "-c", script], capture_output=True, check=False)
    assert done.stdout == b"200", done.stderr

"""What the chat's page loads: every page's 32 kB of scripts and 55 kB more (console.md §8)."""

from __future__ import annotations

import gzip
import re
from typing import Any

import pytest
from playwright.sync_api import Response, expect

from tests.inference_gateway.rig import EndlessEngine, Server, deploy

pytestmark = pytest.mark.browser


def test_the_scripts_of_the_page_stay_within_their_budget(server: Server, visits: Any, endless: EndlessEngine) -> None:
    visit = visits(deploy(server, endless.port))
    page = visit.context.new_page()
    loaded: list[Response] = []

    def note(response: Response) -> None:
        loaded.append(response)

    page.on("response", note)
    page.goto(visit.url, wait_until="networkidle")
    expect(page.locator("#live-indicator")).to_have_attribute("data-state", "live")
    sizes = {
        one.url.rsplit("/", 1)[-1]: len(gzip.compress(one.body(), 9)) for one in loaded if re.search(r"\.js$", one.url)
    }
    print(sizes)
    assert any(name.startswith("chat") for name in sizes)
    assert sum(sizes.values()) < (32 + 55) * 1000
    assert not any("highlight" in name for name in sizes), "the colours of code are loaded with the first code"

"""Copying at an address of the local network over plain http, where browsers offer no Clipboard API
(console.md §4 "Copy", §9, check 19)."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser.conftest import PASSWORD, PATIENCE_MS, errors_of, sign_in
from tests.slipway_process import SlipwayProcess
from tests.static_files import build_static_files

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]

#: A name that is not this machine's own, so that Chromium holds its pages for insecure; see ``CHROMIUM_FLAGS``.
LAN_HOST = "slipway.lan"
DOTS = "••••••••"


@pytest.fixture(scope="module")
def open_slipway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SlipwayProcess]:
    """A Slipway that listens on every address, as one for a local network does."""
    data_dir = tmp_path_factory.mktemp("lan") / "data"
    build_static_files(data_dir)
    running = SlipwayProcess(data_dir, SLIPWAY_ADMIN_PASSWORD=PASSWORD, SLIPWAY_HOST="0.0.0.0")
    try:
        yield running.start()
    finally:
        running.end_everything()


@pytest.fixture(scope="module")
def token(open_slipway: SlipwayProcess) -> str:
    """The token of the service ``lan``, a stopped one of the bundled model."""
    with httpx.Client(base_url=f"{open_slipway.address}/api/v2", auth=("admin", PASSWORD), timeout=30) as client:
        body = {"service_name": "lan", "model": "SmolLM2-135M-Instruct", "instances": 0}
        assert client.post("/llm-services", json=body).status_code == 201
        found: str = client.get("/services/local/lan").json()["AccessToken"]
    return found


@pytest.fixture
def lan(chromium: Browser, open_slipway: SlipwayProcess, token: str) -> Iterator[Page]:
    """A tab that is signed in at ``http://slipway.lan``."""
    profile = chromium.new_context(base_url=f"http://{LAN_HOST}:{open_slipway.port}")
    profile.set_default_timeout(PATIENCE_MS)
    tab = profile.new_page()
    thrown = errors_of(tab)
    sign_in(tab)
    assert tab.evaluate("[isSecureContext, navigator.clipboard === undefined].join()") == "false,true"
    yield tab
    profile.close()
    assert not thrown


def pasted(tab: Page) -> str:
    """What Ctrl V brings into a field, line ends and all: the clipboard cannot be read here by a script."""
    tab.evaluate(
        """() => { const field = document.createElement("textarea");
                   field.id = "paste-here";
                   (document.querySelector("dialog[open]") ?? document.body).append(field);
                   field.focus(); }"""
    )
    tab.keyboard.press("Control+V")
    text = tab.locator("#paste-here").input_value()
    tab.evaluate("document.getElementById('paste-here').remove()")
    return text


def copy_and_paste(tab: Page, button: Locator) -> str:
    button.click()
    expect(button).to_contain_text("Copied")
    return pasted(tab)


def test_what_is_copied_at_a_lan_address_can_be_pasted(lan: Page, token: str) -> None:
    lan.goto("/services/lan/invocation")
    endpoint = lan.locator("dd", has=lan.locator("#endpoint-public")).get_by_role("button")
    assert copy_and_paste(lan, endpoint) == lan.locator("#endpoint-public").inner_text()
    assert copy_and_paste(lan, lan.locator("[data-copy-token]")) == token
    for tab in ("curl", "Python", "OpenAI", "WebSocket"):
        lan.get_by_role("tab", name=tab, exact=True).click()
        panel = lan.get_by_role("tabpanel", name=tab, exact=True)
        text = copy_and_paste(lan, panel.get_by_role("button"))
        shown = panel.locator("pre").inner_text()
        assert LAN_HOST in shown, tab
        assert text == shown.replace(DOTS, token), tab


def test_a_document_is_copied_at_a_lan_address(lan: Page) -> None:
    lan.goto("/services/lan")
    lan.get_by_text("Service document", exact=True).click()
    document = copy_and_paste(lan, lan.locator("[data-copies=document-text]"))
    assert document == lan.locator("#document-text").inner_text()


def test_a_key_that_is_shown_once_is_copied_at_a_lan_address(lan: Page) -> None:
    lan.goto("/keys/new")
    lan.get_by_label("Name", exact=True).fill("lan")
    lan.get_by_role("button", name="Create key").click()
    shown = lan.locator("#new-token").input_value()
    assert copy_and_paste(lan, lan.locator("[data-copies=new-token]")) == shown


def test_what_cannot_be_copied_at_a_lan_address_is_selected_and_said(lan: Page) -> None:
    lan.goto("/services/lan/invocation")
    lan.evaluate("document.execCommand = () => false")
    line = lan.locator("dd", has=lan.locator("#endpoint-public"))
    line.get_by_role("button").click()
    expect(line.get_by_role("button")).to_have_text("Press Ctrl C")
    assert lan.evaluate("getSelection().toString()") == lan.locator("#endpoint-public").inner_text()
    expect(lan.locator("#announcer")).to_have_text("Press Ctrl C")


def test_copying_in_a_dialog_is_said_within_it(lan: Page) -> None:
    """What lies outside a modal dialog is not read to anybody."""
    lan.goto("/services/lan")
    lan.get_by_role("link", name="Invocation Information").click()
    dialog = lan.get_by_role("dialog", name="Invocation Information")
    dialog.locator("[data-copy-token]").click()
    expect(dialog.get_by_role("status").filter(has_text="Copied")).to_have_count(1)

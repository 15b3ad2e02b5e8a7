"""A real Chromium on a real Slipway: one supervisor for all tests of this folder, with its static files built.

Files run in any order, on one process or several: each begins with nothing but ``CHAT_SERVICE`` there, and changes
nothing that is admin's own, as a language; for that a test makes a person (``tests.browser.persons``).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Request, expect, sync_playwright

from tests.browser.leftovers import CHAT_SERVICE, remove_leftovers
from tests.programs import require_program
from tests.slipway_process import SlipwayProcess
from tests.static_files import build_static_files
from tests.waiting import wait_until

PASSWORD = "correct-horse-battery"
#: Until something is given up that nobody has promised to be quick.
PATIENCE_MS = 30_000
CHROMIUM_FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP slipway.lan 127.0.0.1",  # as a machine's name in a local network: see test_lan_address
]


@pytest.fixture(scope="session")
def shared_slipway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SlipwayProcess]:
    """The Slipway of all files that run in this process."""
    require_program("chromium")
    data_dir = tmp_path_factory.mktemp("browser") / "data"
    build_static_files(data_dir)
    running = SlipwayProcess(data_dir, SLIPWAY_ADMIN_PASSWORD=PASSWORD)
    try:
        yield running.start()
    finally:
        running.end_everything()


@pytest.fixture(scope="module")
def slipway(shared_slipway: SlipwayProcess) -> Iterator[SlipwayProcess]:
    """A Slipway that is ready, signed in to as admin with ``PASSWORD``."""
    yield shared_slipway
    remove_leftovers(shared_slipway, PASSWORD)


@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    """The system's Chromium. Its scope ends with this folder: Playwright's loop would be in others' way."""
    program = require_program("chromium")
    # Playwright keeps an event loop in this thread, and Django would take the tests' own queries for mistakes.
    with pytest.MonkeyPatch.context() as patch, sync_playwright() as playwright:
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
        expect.set_options(timeout=PATIENCE_MS)
        browser = playwright.chromium.launch(executable_path=str(program), args=CHROMIUM_FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def context(chromium: Browser, slipway: SlipwayProcess) -> Iterator[BrowserContext]:
    """A browser profile of its own, that fails the test when a page asks another host for anything."""
    foreign: list[str] = []

    def look(request: Request) -> None:
        if not request.url.startswith((slipway.address, slipway.address.replace("http", "ws"), "data:", "blob:")):
            foreign.append(request.url)

    profile = chromium.new_context(base_url=slipway.address, viewport={"width": 1280, "height": 800})
    profile.set_default_timeout(PATIENCE_MS)
    profile.on("request", look)
    yield profile
    profile.close()
    assert not foreign


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    """A tab whose errors fail the test."""
    tab = context.new_page()
    thrown = errors_of(tab)
    yield tab
    assert not thrown


def errors_of(tab: Page) -> list[str]:
    """What the tab's scripts throw, for the test's end: a callback that raises would end Playwright for every test."""
    thrown: list[str] = []
    tab.on("pageerror", lambda error: thrown.append(f"{tab.url} threw {error}"))
    return thrown


@pytest.fixture(scope="module")
def session() -> list[Any]:
    """The cookies of admin's last sign-in in this file: signing in takes longer than many a test."""
    return []


@pytest.fixture
def signed_in(page: Page, session: list[Any]) -> Page:
    """A tab on the services list. Its session is one of this file's earlier tests', unless that was ended."""
    page.context.add_cookies(session)
    page.goto("/")
    if "/sign-in" in page.url:
        sign_in(page)
        session[:] = [
            {"name": one["name"], "value": one["value"], "url": page.url, "httpOnly": one["httpOnly"]}
            for one in page.context.cookies()
        ]
    return page


def sign_in(page: Page, name: str = "admin", password: str = PASSWORD) -> None:
    page.goto("/sign-in")
    page.get_by_label("User name").fill(name)
    page.get_by_label("Password", exact=True).fill(password)
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.wait_for_url("**/")


@pytest.fixture(scope="module")
def api(slipway: SlipwayProcess) -> Iterator[httpx.Client]:
    """A program beside the browser: what it does is "a change elsewhere"."""
    with httpx.Client(base_url=f"{slipway.address}/api/v2", auth=("admin", PASSWORD), timeout=30) as client:
        yield client


def create_llm_service(api: httpx.Client, name: str) -> None:
    """Deploy the bundled model and wait until it answers."""
    document = {"service_name": name, "model": "SmolLM2-135M-Instruct", "workspace": "default"}
    answer = api.post("/llm-services", json=document)
    assert answer.status_code == 201, answer.text
    wait_status(api, name, "Running")


def wait_status(api: httpx.Client, name: str, status: str) -> None:
    wait_until(lambda: api.get(f"/services/local/{name}").json().get("Status") == status, f"{name} is {status}", 60)


@pytest.fixture
def chat_service(api: httpx.Client) -> str:
    """The name of a service of the bundled model that is Running, whatever tests before this one did to it."""
    found = api.get(f"/services/local/{CHAT_SERVICE}")
    if found.status_code == 404:
        create_llm_service(api, CHAT_SERVICE)
    elif found.json()["Status"] != "Running":
        api.put(f"/services/local/{CHAT_SERVICE}/start")
        wait_status(api, CHAT_SERVICE, "Running")
    return CHAT_SERVICE


def shorten_answers(page: Page) -> None:
    """In the chat that is open: a small model may go on for 2,048 tokens, which takes minutes on a busy machine."""
    page.locator("#parameter-max_new_tokens").evaluate(
        "(field) => { field.value = 32; field.dispatchEvent(new Event('input', {bubbles: true})); }"
    )

"""Pictures of the pages, of a real Slipway with a real model, taken anew by ``make screenshots``.

Without a FOLDER those that ``docs/tour.md`` shows, into ``docs/screenshots``; ``python -m tests.browser.screenshots
FOLDER [LANGUAGE]`` writes every page there, light and dark, at both widths: ``<page>[-dark][-phone].png``. LANGUAGE is
what the browser asks for, as ``fa``; nothing is found by its words, so it may be any.
"""

from __future__ import annotations

import re
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from playwright.sync_api import Browser, Page, expect, sync_playwright

from console.environment import REPOSITORY
from tests.browser.conftest import CHROMIUM_FLAGS, PASSWORD, wait_status
from tests.programs import require_program
from tests.slipway_process import SlipwayProcess
from tests.static_files import build_static_files

#: Width and height in CSS pixels, and what it adds to a picture's name.
WIDE, PHONE = ((1280, 800), ""), ((375, 760), "-phone")
#: What a page is called, and its address.
PAGES = {
    "services": "/",
    "llm-deployment": "/deploy/llm",
    "custom-deployment": "/deploy/custom",
    "document-editor": "/deploy/custom?view=yaml",
    "overview": "/services/chat",
    "failed": "/services/reranker",
    "invocation": "/services/chat/invocation",
    "logs": "/services/chat/logs",
    "monitoring": "/services/chat/monitoring",
    "events": "/services/chat/events",
    "versions": "/services/summaries/versions",
    "compare": "/services/summaries/versions/compare",
    "debug": "/services/chat/debug",
    "update": "/services/chat/edit",
    "clusters": "/clusters",
    "cluster": "/clusters/local",
    "keys": "/keys",
    "new-api-key": "/keys/api-keys/new",
    "limits": "/workspaces/default/limits",
    "usage": "/usage?range=7d",
    "workspaces": "/workspaces",
    "members": "/workspaces/default/members",
    "people": "/people",
    "profile": "/settings/profile",
    "settings": "/settings/security",
    "appearance": "/settings/appearance",
    "audit": "/settings/audit",
}
QUESTION = "Write a Python function that adds two numbers."


@dataclass(frozen=True, slots=True)
class Camera:
    """Writes pictures into ``folder``: those of ``shown``, or all."""

    folder: Path
    shown: set[str] | None
    language: str

    def wants(self, name: str) -> bool:
        return self.shown is None or name in self.shown

    def take(self, tab: Page, name: str) -> None:
        if self.wants(name):
            tab.screenshot(path=self.folder / f"{name}.png")


def main() -> None:
    docs = REPOSITORY / "docs"
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else docs / "screenshots"
    shown = None if len(sys.argv) > 1 else set(re.findall(r"screenshots/([\w-]+)\.png", (docs / "tour.md").read_text()))
    folder.mkdir(parents=True, exist_ok=True)
    camera = Camera(folder, shown, sys.argv[2] if len(sys.argv) > 2 else "en")
    with tempfile.TemporaryDirectory(prefix="slipway-pictures-") as temporary:
        data_dir = Path(temporary) / "data"
        build_static_files(data_dir)
        slipway = SlipwayProcess(data_dir, SLIPWAY_ADMIN_PASSWORD=PASSWORD)
        try:
            slipway.start()
            with sync_playwright() as playwright:
                program = str(require_program("chromium"))
                browser = playwright.chromium.launch(executable_path=program, args=CHROMIUM_FLAGS)
                take_all(browser, slipway.address, camera)
                browser.close()
        finally:
            slipway.end_everything()
    size = sum(picture.stat().st_size for picture in folder.glob("*.png"))
    print(f"{len(list(folder.glob('*.png')))} pictures, {size / 1024:.0f} KiB, in {folder}")


def take_all(browser: Browser, address: str, camera: Camera) -> None:
    expect.set_options(timeout=60_000)
    with httpx.Client(base_url=f"{address}/api/v2", auth=("admin", PASSWORD), timeout=30) as api:
        first = open_tab(browser, address, camera.language, WIDE[0], "light")
        first.goto("/sign-in")
        camera.take(first, "sign-in")
        sign_in(first)
        camera.take(first, "first-run")
        furnish(api)
        conversation = talk(first)
    for scheme in ("light", "dark"):
        for size, suffix in (WIDE, PHONE):
            tab = open_tab(browser, address, camera.language, size, scheme)
            sign_in(tab)
            name_end = ("-dark" if scheme == "dark" else "") + suffix
            for name, path in {**PAGES, "web-chat": conversation}.items():
                if camera.wants(f"{name}{name_end}"):
                    tab.goto(path, wait_until="networkidle")
                    tab.evaluate("document.fonts.ready")
                    camera.take(tab, f"{name}{name_end}")
            tab.context.close()


def open_tab(browser: Browser, address: str, language: str, size: tuple[int, int], scheme: str) -> Page:
    context = browser.new_context(
        base_url=address,
        locale=language,
        viewport={"width": size[0], "height": size[1]},
        color_scheme="dark" if scheme == "dark" else "light",
        reduced_motion="reduce",
        has_touch=size[0] < 900,
    )
    context.set_default_timeout(60_000)
    return context.new_page()


def sign_in(tab: Page) -> None:
    tab.goto("/sign-in")
    tab.locator("#sign-in-name").fill("admin")
    tab.locator("#sign-in-password").fill(PASSWORD)
    tab.locator("#sign-in-password").press("Enter")
    tab.wait_for_url("**/")


def furnish(api: httpx.Client) -> None:
    """A few services as people have them: some run, one is stopped, one has failed."""
    model = {"model": "SmolLM2-135M-Instruct", "users": 1, "context_tokens": 2048}
    for name, instances in (("chat", 1), ("summaries", 2), ("translator", 1)):
        answer = api.post("/llm-services", json={"service_name": name, "instances": instances, **model})
        answer.raise_for_status()
    broken = document_of(api, "reranker", model)
    broken["containers"][0]["script"] += " --tensor-paralel=2"
    api.post("/services", json=broken).raise_for_status()
    for name in ("chat", "summaries", "translator"):
        wait_status(api, name, "Running")
    changed = document_of(api, "summaries", model)
    changed["containers"][0]["env"] = [{"name": "LANG", "value": "C.UTF-8"}]
    changed["metadata"]["instance"] = 2
    api.put("/services/local/summaries", json=changed).raise_for_status()
    api.put("/services/local/translator/stop").raise_for_status()
    wait_status(api, "summaries", "Running")
    wait_status(api, "translator", "Stopped")
    wait_status(api, "reranker", "Failed")


def document_of(api: httpx.Client, name: str, model: dict[str, Any]) -> dict[str, Any]:
    answer = api.post("/llm-services?dry_run=true", json={"service_name": name, **model})
    document: dict[str, Any] = answer.raise_for_status().json()["document"]
    return document


def talk(tab: Page) -> str:
    """Ask a question in the web chat and return the conversation's address, once it is answered."""
    tab.goto("/services/chat/chat")
    tab.locator("#message").fill(QUESTION)
    tab.locator("#message").press("Enter")
    expect(tab.locator(".answer-stats").last).not_to_have_text("")
    return tab.url


if __name__ == "__main__":
    main()

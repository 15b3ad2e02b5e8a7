"""The web chat's pages as one person's browser shows them, and an engine that says what a test tells it to."""

from __future__ import annotations

import json
from typing import Any

from aiohttp import web
from django.conf import settings
from playwright.sync_api import BrowserContext, Page, Request, expect

from tests.inference_gateway.rig import Deployed, EndlessEngine, Server
from tests.waiting import noticed_ms


class TellingEngine(EndlessEngine):
    """Answers with ``answer``, a few letters at a time."""

    answer = "Yes."

    async def _generate(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(await request.json())
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for at in range(0, len(self.answer), 7):
            chunk = {"choices": [{"index": 0, "delta": {"content": self.answer[at : at + 7]}}]}
            await response.write(f"data: {json.dumps(chunk)}\n\n".encode())
        await response.write(b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n')
        return response


class Visit:
    """One person's browser: pages of a service's chat, and every request that they made."""

    def __init__(self, context: BrowserContext, server: Server, service: Deployed, cookie: str) -> None:
        self.context = context
        self.url = f"{server.url}/services/{service.row.name}/chat"
        self.requests: list[str] = []
        self.errors: list[str] = []
        context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": cookie, "url": server.url}])

    def open(self, url: str = "") -> Page:
        page = self.context.new_page()
        page.on("request", self._note)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.goto(url or self.url)
        expect(page.locator("#live-indicator")).to_have_attribute("data-state", "live")
        return page

    def _note(self, request: Request) -> None:
        self.requests.append(request.url)


def composer(page: Page) -> Any:
    return page.get_by_role("textbox", name="Message", exact=True)


def ask(page: Page, question: str) -> None:
    composer(page).fill(question)
    page.get_by_role("button", name="Send", exact=True).click()


def finished(page: Page, count: int = 1) -> None:
    expect(page.locator(".turn[data-status=finished]")).to_have_count(count, timeout=noticed_ms(30_000))

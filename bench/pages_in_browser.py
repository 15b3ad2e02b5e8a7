"""Pages in Chromium, for ``bench_pages``: against a Slipway of its own on the rows that lie in the data folder."""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import Any

import httpx
from playwright.sync_api import Page, sync_playwright

from tests.browser.conftest import CHROMIUM_FLAGS
from tests.programs import require_program
from tests.slipway_client import PASSWORD
from tests.slipway_process import SlipwayProcess
from tests.static_files import build_static_files
from tests.waiting import wait_until

PAINT_MS, INTERACTION_MS, SHIFT, CHANGE_MS, FRAME_MS = 600, 100, 0.05, 1000, 50
VISITS = 5
LOG_LINES = 100_000
PAGES = (
    "/",
    "/?sort=name&page=100",
    "/services/chat_00001",
    "/services/chat_00001/events",
    "/deploy/llm",
    "/settings/audit",
)

#: Collected from the page's beginning; layout shifts after an input do not count, as browsers define it.
OBSERVE = """
  window.seen = {shift: 0, interaction: 0};
  const each = (look) => new PerformanceObserver((list) => list.getEntries().forEach(look));
  each((one) => { seen.shift += one.hadRecentInput ? 0 : one.value; }).observe({type: "layout-shift", buffered: true});
  each((one) => { seen.interaction = Math.max(seen.interaction, one.duration); })
    .observe({type: "event", buffered: true, durationThreshold: 16});
"""
PAINT = "() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? 0"
SCROLL = """async () => {
  const list = document.getElementById("log");
  const frames = [];
  let last = performance.now();
  list.scrollTop = 0;
  for (let step = 0; step < 300; step += 1) {
    list.scrollTop += 6000;
    await new Promise((done) => requestAnimationFrame(done));
    frames.push(performance.now() - last);
    last = performance.now();
  }
  return frames.sort((a, b) => a - b);
}"""


def measure(data_dir: Path) -> None:
    """One line a page, then the row that changes and the log."""
    build_static_files(data_dir)
    slipway = SlipwayProcess(data_dir, SLIPWAY_ADMIN_PASSWORD=PASSWORD)
    try:
        slipway.start(120)
        with (
            sync_playwright() as playwright,
            httpx.Client(base_url=f"{slipway.address}/api/v2", auth=("admin", PASSWORD), timeout=60) as api,
        ):
            browser = playwright.chromium.launch(executable_path=str(require_program("chromium")), args=CHROMIUM_FLAGS)
            context = browser.new_context(base_url=slipway.address, viewport={"width": 1280, "height": 800})
            context.add_init_script(OBSERVE)
            page = context.new_page()
            sign_in(page)
            print(f"{'in Chromium':52}{'FCP ms':>9}{'shift':>9}{'input ms':>9}")
            for address in PAGES:
                measure_page(page, address)
            measure_change(page, api)
            measure_log(page, api)
            browser.close()
    finally:
        slipway.end_everything()


def sign_in(page: Page) -> None:
    page.goto("/sign-in")
    page.get_by_label("User name").fill("admin")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.wait_for_url("**/")


def measure_page(page: Page, address: str) -> None:
    paints, shifts, inputs = [], [], []
    for _ in range(VISITS):
        page.goto(address)
        page.wait_for_load_state("networkidle")
        paints.append(page.evaluate(PAINT))
        page.keyboard.press("Control+k")
        page.locator("#palette-options [role=option]").first.wait_for()
        page.keyboard.press("Escape")
        seen: dict[str, Any] = page.evaluate("() => new Promise((done) => setTimeout(() => done(window.seen), 100))")
        shifts.append(seen["shift"])
        inputs.append(seen["interaction"])
    paint, shift, interaction = statistics.median(paints), max(shifts), statistics.median(inputs)
    missed = paint > PAINT_MS or shift > SHIFT or interaction > INTERACTION_MS
    print(f"{address:52}{paint:9.0f}{shift:9.3f}{interaction:9.0f}{' > budget' if missed else ''}", flush=True)


def measure_change(page: Page, api: httpx.Client) -> None:
    """From the answer that a row has changed to the page that shows it."""
    page.goto("/?sort=name")
    page.locator("#live-indicator[data-state=live]").wait_for()
    waits = []
    for wanted in (3, 5, 7, 2, 4):
        page.wait_for_timeout(500)
        changed = api.put("/services/local/chat_00001/scale", json={"Instances": wanted})
        assert changed.status_code == 200, changed.text
        began = time.perf_counter()
        page.locator("#row-chat_00001 .cell-instances", has_text=f"0/{wanted}").wait_for()
        waits.append((time.perf_counter() - began) * 1000)
    missed = " > budget" if max(waits) > CHANGE_MS else ""
    print(f"{'row → page: median, longest':52}{statistics.median(waits):9.0f}{max(waits):9.0f} ms{missed}", flush=True)


def measure_log(page: Page, api: httpx.Client) -> None:
    """Scroll through a long log of a real process."""
    script = f"seq -f 'line %.0f of a log that is long enough' {LOG_LINES}; exec python3 -m http.server $PORT"
    document = {
        "metadata": {"name": "long_log", "instance": 1, "cpu": 1, "memory": 256},
        "containers": [{"image": "tools:1", "script": script, "port": 8000}],
    }
    assert api.post("/services", json=document).status_code == 201
    wait_until(lambda: api.get("/services/local/long_log").json()["Status"] == "Running", "long_log is Running", 60)
    page.goto("/services/long_log/logs")
    page.locator("[data-log][data-ready]").wait_for()
    frames: list[float] = page.evaluate(SCROLL)
    p95, longest = frames[int(len(frames) * 0.95)], frames[-1]
    missed = " > budget" if longest > FRAME_MS else ""
    print(f"{'log of 100,000 lines, frames: p95, longest':52}{p95:9.0f}{longest:9.0f} ms{missed}", flush=True)
    page.locator("#log").focus()
    page.keyboard.press("Control+f")
    began = time.perf_counter()
    page.keyboard.insert_text("line 7 of")
    page.locator("#L7.is-current").wait_for()
    print(f"{'search finds line 7':52}{(time.perf_counter() - began) * 1000:9.0f} ms", flush=True)
    api.delete("/services/local/long_log")

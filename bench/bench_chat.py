"""The web chat in a real Chromium: a long answer's frames, how long a long conversation takes to open, sizes.

    python bench/bench_chat.py [--tokens 20000] [--rate 100] [--messages 2000] [--quick]

Starts a Slipway of its own on a temporary folder, with a service whose engine writes Markdown at a steady pace.

    frames   time that the page's script takes in each frame while the answer is written, layout included: on the
             clock, and of the processor, which other programs of the machine do not lengthen; and how many of its
             paints fall into one frame (console.md §6: under 8 ms, one at most)
    open     from the request of a conversation's page to its last message standing in view
    sizes    gzip of what the page loads (console.md §8: every page's 32 kB and 55 kB more)
"""

from __future__ import annotations

import argparse
import gzip
import json
import re
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import httpx
from playwright.sync_api import CDPSession, Page, Response, expect, sync_playwright

from console.environment import REPOSITORY
from tests.browser.conftest import CHROMIUM_FLAGS, PASSWORD, sign_in, wait_status
from tests.programs import require_program
from tests.slipway_process import SlipwayProcess
from tests.static_files import build_static_files

SERVICE = "bench_chat"
#: Notes for every callback of an animation frame its frame and how long it took, with the layout that it caused.
WATCH_FRAMES = """
window.frames_taken = [];
const original = window.requestAnimationFrame.bind(window);
window.requestAnimationFrame = (callback) => original((at) => {
  const began = performance.now();
  callback(at);
  document.body.offsetHeight;
  window.frames_taken.push([at, performance.now() - began]);
});
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=20_000)
    parser.add_argument("--rate", type=int, default=100)
    parser.add_argument("--messages", type=int, default=2_000)
    parser.add_argument("--quick", action="store_true", help="the short way, to see that it runs")
    options = parser.parse_args()
    if options.quick:
        options.tokens, options.messages = 500, 200
    with tempfile.TemporaryDirectory(prefix="slipway-bench-") as temporary:
        data_dir = Path(temporary) / "data"
        build_static_files(data_dir)
        slipway = SlipwayProcess(data_dir, SLIPWAY_ADMIN_PASSWORD=PASSWORD)
        try:
            slipway.start()
            deploy(slipway.address)
            with sync_playwright() as playwright:
                program = str(require_program("chromium"))
                browser = playwright.chromium.launch(executable_path=program, args=CHROMIUM_FLAGS)
                page = browser.new_context(base_url=slipway.address).new_page()
                page.set_default_timeout(60_000)
                sign_in(page)
                measure_sizes(page)
                measure_opening(page, Path(temporary), options.messages)
                measure_frames(page, options.tokens, options.rate)
                browser.close()
        finally:
            slipway.end_everything()


def deploy(address: str) -> None:
    script = f"{sys.executable} {REPOSITORY / 'bench' / 'chat_engine.py'}"
    document = {
        "metadata": {"name": SERVICE, "instance": 1, "cpu": 1, "memory": 512},
        "containers": [{"image": "any:1", "script": script, "port": 8000}],
        "labels": {"ServiceEngineType": "chat-llm"},
    }
    with httpx.Client(base_url=f"{address}/api/v2", auth=("admin", PASSWORD), timeout=30) as api:
        answer = api.post("/services", json=document)
        if answer.is_error:
            raise SystemExit(answer.text)
        wait_status(api, SERVICE, "Running")


def measure_sizes(page: Page) -> None:
    page.goto("about:blank")  # what the page before still fetches is not this one's
    answers: list[Response] = []

    def note(answer: Response) -> None:
        answers.append(answer)

    page.on("response", note)
    page.goto(f"/services/{SERVICE}/chat", wait_until="networkidle")
    page.remove_listener("response", note)
    loaded = {
        answer.url.rsplit("/", 1)[-1]: len(gzip.compress(answer.body(), 9))
        for answer in answers
        if re.search(r"\.(js|css|svg)(\?|$)", answer.url)
    }
    for name, size in sorted(loaded.items()):
        print(f"sizes   {size / 1000:6.1f} kB gzip  {name}")
    scripts = sum(size for name, size in loaded.items() if ".js" in name)
    print(f"sizes   {scripts / 1000:6.1f} kB gzip  all scripts of the page (at most 87)")


def measure_opening(page: Page, folder: Path, messages: int) -> None:
    """Import a conversation of so many messages and open it five times."""
    turns = [
        {
            "number": number,
            "parent": number - 1 or None,
            "question": f"Question {number}?",
            "answer": f"Answer **{number}**.\n\n- one\n- two\n\n```python\nprint({number})\n```\n",
        }
        for number in range(1, messages // 2 + 1)
    ]
    file = folder / "long.json"
    file.write_text(json.dumps({"format": "slipway-conversation", "version": 1, "title": "Long", "turns": turns}))
    page.goto(f"/services/{SERVICE}/chat/import")
    page.get_by_label("File").set_input_files(file)
    page.get_by_role("button", name="Import", exact=True).click()
    page.wait_for_url(re.compile(r"/chat/[0-9a-f-]{36}$"))
    address, times = page.url, []
    for _ in range(5):
        began = time.perf_counter()
        page.goto(address, wait_until="commit")
        expect(page.locator(f"#turn-{len(turns)} .answer-text .block").last).to_be_in_viewport()
        times.append(time.perf_counter() - began)
    print(f"open    {messages} messages: {summary(times, 's')}")


def measure_frames(page: Page, tokens: int, rate: int) -> None:
    page.add_init_script(WATCH_FRAMES)
    page.goto(f"/services/{SERVICE}/chat")
    expect(page.locator("#live-indicator")).to_have_attribute("data-state", "live")
    devtools = page.context.new_cdp_session(page)
    computed = ComputedFrames(devtools)
    page.get_by_role("textbox", name="Message", exact=True).fill(f"tokens={tokens} rate={rate}")
    page.get_by_role("button", name="Send", exact=True).click()
    finished = page.locator(".turn[data-status=finished]")
    expect(finished).to_have_count(1, timeout=1000 * (tokens / rate + 120))
    taken: list[tuple[float, float]] = page.evaluate("window.frames_taken")
    of_frame: dict[float, list[float]] = {}
    for at, milliseconds in taken:
        of_frame.setdefault(at, []).append(milliseconds)
    frames = [sum(all_of_it) for all_of_it in of_frame.values()]
    print(f"frames  {tokens} tokens at {rate} a second, {len(frames)} frames: {summary(frames, 'ms')}")
    most = max(map(len, of_frame.values()))
    print(f"frames  over 8 ms: {sum(one > 8 for one in frames)}; paints in one frame: {most} at most")
    computed_each = computed.stop(page)
    print(f"frames  of the processor: {summary(computed_each, 'ms')}")
    print(f"frames  over 8 ms of the processor: {sum(one > 8 for one in computed_each)} of {len(computed_each)}")


class ComputedFrames:
    """What the page's thread computes in each callback of an animation frame, by Chromium's own trace."""

    def __init__(self, devtools: CDPSession) -> None:
        self._devtools = devtools
        self._taken: list[float] = []
        self._is_over = False
        devtools.on("Tracing.dataCollected", self._collect)
        devtools.on("Tracing.tracingComplete", self._end)
        categories = {"includedCategories": ["devtools.timeline"], "recordMode": "recordContinuously"}
        devtools.send("Tracing.start", {"transferMode": "ReportEvents", "traceConfig": categories})

    def stop(self, page: Page) -> list[float]:
        """Milliseconds of each, in no order."""
        self._devtools.send("Tracing.end")
        while not self._is_over:
            page.wait_for_timeout(100)
        return self._taken

    def _collect(self, part: dict[str, Any]) -> None:
        self._taken += [
            event["tdur"] / 1000 for event in part["value"] if event["name"] == "FireAnimationFrame" and "tdur" in event
        ]

    def _end(self, _: dict[str, Any]) -> None:
        self._is_over = True


def summary(values: list[float], unit: str) -> str:
    ordered = sorted(values)
    shares = (("median", 0.5), ("p95", 0.95), ("p99", 0.99))
    told = ", ".join(f"{name} {ordered[int((len(ordered) - 1) * share)]:.2f}" for name, share in shares)
    return f"{told}, most {ordered[-1]:.2f}, mean {statistics.fmean(ordered):.2f} {unit}"


if __name__ == "__main__":
    main()

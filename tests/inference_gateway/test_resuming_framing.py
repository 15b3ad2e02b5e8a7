"""Ids of events, and endings of answers that were cut off."""

from __future__ import annotations

import json
import re

import pytest

from inference_gateway.chat import ChatError
from inference_gateway.resuming.framing import MOST_HELD_BYTES, Dialect, EventIds, render_ending
from inference_gateway.resuming.naming import Names, find_event_id

EVENTS = "".join(f"data: {number} 世界 👋\n\n" for number in range(300)).encode() + b"event: end\ndata: [DONE]\n\n"
INTERRUPTED = ChatError(502, "interrupted", "It broke off.")


def feed(pieces: list[bytes]) -> bytes:
    ids = EventIds("gen-1")
    return b"".join(ids.feed(piece, is_last=at == len(pieces) - 1) for at, piece in enumerate(pieces))


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 1000, len(EVENTS)])
def test_each_id_is_the_offset_behind_its_event_however_the_events_are_cut(size: int) -> None:
    told = feed([EVENTS[start : start + size] for start in range(0, len(EVENTS), size)])
    assert re.sub(rb"id: \S+\n", b"", told) == EVENTS
    ends = [match.end() for match in re.finditer(b"\n\n", told)]
    assert [int(found) for found in re.findall(rb"^id: gen-1\.(\d+)$", told, re.MULTILINE)] == ends


def test_what_is_too_long_for_an_event_goes_on_as_it_came() -> None:
    long = b"data: " + b"x" * (MOST_HELD_BYTES + 1)
    told = feed([long, b"y\n\n" + EVENTS])
    assert re.sub(rb"id: \S+\n", b"", told) == long + b"y\n\n" + EVENTS
    assert told.startswith(long + b"y\n\nid: ")


def test_an_event_without_its_end_is_not_lost() -> None:
    assert feed([b"data: 1\n\ndata: 2"]).endswith(b"\n\ndata: 2")


def test_no_two_generations_have_one_name() -> None:
    names = Names()
    assert len({names.choose() for _ in range(1000)}) == 1000
    assert find_event_id(f"{names.choose()}.12") is not None
    assert [find_event_id(given) for given in ("12", "gen-1.12", f"{names.choose()}.x", "", None)] == [None] * 5


@pytest.mark.parametrize(
    ("dialect", "response"), [(Dialect.EAS, "so far"), (Dialect.EAS_DELTA, "")], ids=["cumulative", "delta"]
)
def test_a_cut_off_frame_of_eas_ends_with_the_text_so_far(dialect: Dialect, response: str) -> None:
    first = json.dumps({"response": "so", "history": [["q", "so"]]}).encode() + b"\0"
    last = json.dumps({"response": "so far", "history": [["q", "so far"]]}).encode() + b"\0"
    ending = render_ending(dialect, first[5:] + last, INTERRUPTED)
    assert ending.endswith(b"\0")
    told = json.loads(ending[:-1])
    assert told.pop("error") == {"code": "interrupted", "message": "It broke off."}
    assert told == {"response": response, "history": [["q", "so far"]]}
    assert json.loads(render_ending(dialect, b"", INTERRUPTED)[:-1])["code"] == "interrupted"


def test_server_sent_events_end_with_an_error_of_their_dialect() -> None:
    openai = render_ending(Dialect.OPENAI, b"", INTERRUPTED)
    assert json.loads(openai.removeprefix(b"data: "))["error"]["code"] == "interrupted"
    anthropic = render_ending(Dialect.ANTHROPIC, b"", INTERRUPTED)
    assert anthropic.startswith(b"event: error\ndata: {")
    assert anthropic.endswith(b"}\n\n")

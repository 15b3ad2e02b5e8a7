"""What an answer's head says, as lines and as names and values; and what it says of limits."""

from __future__ import annotations

import pytest

from inference_gateway.cycle_wire import Usual
from inference_gateway.head_lines import read_lines, render_lines
from inference_gateway.metering.advance import Advance, Size

NONE = (-1, -1, -1)
NOW = 1000.0


def given(*told: int) -> Advance:
    """Valkey gave one request of 15 tokens at ``NOW``, and told this of what is left of requests and of tokens."""
    advance = Advance(("key:1",))
    advance.begin(["ok", 10, 0, 60_000, *told, "minute"], Size(5, 10, is_soft=False), 1, 0, NOW)
    return advance


def test_lines_are_read_as_they_were_meant() -> None:
    lines = render_lines(((b"x-one", b"a: b"), (b"x-two", b"")))
    assert lines == b"x-one: a: b\r\nx-two: \r\n"
    assert read_lines(lines) == {"x-one": "a: b", "x-two": ""}
    assert read_lines(render_lines(())) == {}


def test_headers_that_every_answer_has_are_told_as_they_are_now() -> None:
    usual = Usual()
    first, second = [(b"date", b"Sun"), (b"server", b"a")], [(b"date", b"Mon")]
    told = [usual.render(headers) for headers in (first, first, second, first)]
    assert told == [render_lines(headers) for headers in (first, first, second, first)]


@pytest.mark.parametrize(
    ("told", "seconds", "expected"),
    [
        ((*NONE, *NONE), 0, {}),
        ((80, 79, 59_999, *NONE), 0, {"limit-requests": "80", "remaining-requests": "79", "reset-requests": "59.999s"}),
        ((80, 0, 500, *NONE), 0.75, {"limit-requests": "80", "remaining-requests": "0", "reset-requests": "0.000s"}),
        ((*NONE, 10**12, 10**11, -1), 5, {"limit-tokens": "1000000000000", "remaining-tokens": "100000000000"}),
        ((*NONE, 900, -7, 60_000), 0.25, {"limit-tokens": "900", "remaining-tokens": "0", "reset-tokens": "59.750s"}),
    ],
)
def test_what_is_left_is_told_under_openai_s_names(
    told: tuple[int, ...], seconds: float, expected: dict[str, str]
) -> None:
    lines = read_lines(given(*told).render_lines(NOW + seconds))
    assert lines == {f"x-ratelimit-{name}": value for name, value in expected.items()}


def test_of_both_kinds_is_told_what_each_has_left_by_now() -> None:
    advance = given(1000, 999, 30_000, 500, 480, 30_000)
    advance.finish(15, 5)
    assert read_lines(advance.render_lines(NOW + 10)) == {
        "x-ratelimit-limit-requests": "1000",
        "x-ratelimit-remaining-requests": "999",
        "x-ratelimit-reset-requests": "20.000s",
        "x-ratelimit-limit-tokens": "500",
        "x-ratelimit-remaining-tokens": "490",
        "x-ratelimit-reset-tokens": "20.000s",
    }

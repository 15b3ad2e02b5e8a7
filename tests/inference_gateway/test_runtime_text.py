"""From tokens to pieces of text, with bytes as tokens: characters and stop texts cut anywhere."""

from __future__ import annotations

import pytest

from inference_gateway.runtime.hugging_face.text import TextMaker


def decode(ids: list[int]) -> str:
    return bytes(ids).decode("utf-8", "replace")


def pieces(text: str, stops: tuple[str, ...] = ()) -> tuple[list[str], bool]:
    maker, made = TextMaker(decode, list("Prompt é".encode()), stops), []
    for token in text.encode():
        made.append(maker.feed(token))
        if maker.has_stopped:
            return made, True
    return [*made, maker.finish()], maker.has_stopped


def test_a_character_of_several_tokens_comes_whole() -> None:
    made, _ = pieces("a€😀b")
    assert [piece for piece in made if piece] == ["a", "€", "😀", "b"]


@pytest.mark.parametrize(
    ("text", "stops", "expected", "is_stopped"),
    [
        ("one STOP two", ("STOP",), "one ", True),
        ("one STO", ("STOP",), "one STO", False),
        ("aab", ("ab",), "a", True),
        ("é, ü; x", (";", ", ü"), "é", True),
        ("abcabd", ("abd",), "abc", True),
        ("xyz", ("",), "xyz", False),
    ],
)
def test_nothing_from_a_stop_text_on_is_told(
    text: str, stops: tuple[str, ...], expected: str, is_stopped: bool
) -> None:
    made, has_stopped = pieces(text, stops)
    assert ("".join(made), has_stopped) == (expected, is_stopped)


def test_what_may_become_a_stop_text_waits_for_the_next_token() -> None:
    made, _ = pieces("a-b", ("--",))
    assert made == ["a", "", "-b", ""]


def test_half_a_character_at_the_end_is_told_as_such() -> None:
    maker = TextMaker(decode, [], ())
    assert maker.feed("€".encode()[0]) == ""
    assert maker.finish() == "\N{REPLACEMENT CHARACTER}"

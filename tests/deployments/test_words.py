"""Sentences that are kept and said again in the reader's language (deployments/words.py)."""

from __future__ import annotations

import json

import pytest
from django.utils import translation

from deployments.words import figure, in_digits, join, number, read_sentence, say, say_plural, translated, words_of

ANSWER = "%(count)s of %(instances)s instance answers."
ANSWERS = "%(count)s of %(instances)s instances answer."


def kept(text: str) -> str:
    """What a row gives back."""
    return read_sentence(str(text), json.loads(json.dumps(words_of(text))))


def test_a_sentence_is_its_english_text() -> None:
    assert say("Listening on port %(port)s.", port="8000") == "Listening on port 8000."
    assert say_plural(ANSWER, ANSWERS, 1, instances=2) == "1 of 2 instance answers."
    assert say_plural(ANSWER, ANSWERS, 2, instances=2) == "2 of 2 instances answer."
    assert json.dumps(say("Stopped.")) == '"Stopped."'


def test_sentences_join_without_the_empty_ones() -> None:
    assert join(say("Running."), "", say_plural(ANSWER, ANSWERS, 2, instances=3)) == "Running. 2 of 3 instances answer."
    assert join() == ""


@pytest.mark.parametrize(
    "text",
    [
        say("Stopped."),
        join(say("Running."), say_plural(ANSWER, ANSWERS, 2, instances=3), "its last words: 100%s"),
        say("It does not answer. Its last step: %(step)s", step=join(say("Loading %(name)s.", name="a"), "12%")),
        say("Needs %(need)s GiB, %(times)s times.", need=figure(19.44, 1), times=3),
    ],
)
def test_a_row_gives_back_the_sentence_that_it_was_given(text: str) -> None:
    again = kept(text)
    assert again == text
    assert words_of(again) == words_of(text)


@pytest.mark.parametrize(
    "words", [None, {}, [], [{}], [{"message": "%(a)s."}], [3], "Stopped.", [{"message": "Other."}]]
)
def test_words_that_do_not_make_the_text_leave_the_text(words: object) -> None:
    found = read_sentence("Stopped.", words)
    assert found == "Stopped."
    assert translated(found) == "Stopped."


def test_numbers_are_shown_in_the_readers_digits_and_names_are_not() -> None:
    text = say("r%(revision)s needs %(need)s GiB on port %(port)s.", revision=5, need=figure(1234.5, 1), port="8000")
    assert text == "r5 needs 1,234.5 GiB on port 8000."
    with translation.override("fa"):
        assert translated(text) == "r۵ needs ۱٬۲۳۴٫۵ GiB on port 8000."
        assert number(32768) == "۳۲٬۷۶۸"
        assert translated(kept(text)) == translated(text)
    with translation.override("ja"):
        assert number(32768) == "32,768"
        assert in_digits("1.5") == "1.5"


def test_plain_text_is_nobodys_sentence() -> None:
    assert words_of("Segmentation fault") == []
    assert translated("Segmentation fault") == "Segmentation fault"

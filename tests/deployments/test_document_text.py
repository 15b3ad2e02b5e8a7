"""A service document as JSON or YAML: the same values either way, each problem at its line, nothing dangerous."""

from __future__ import annotations

import json
from typing import Any

import pytest

from deployments.spec.places import Place, TextInvalid
from deployments.spec.text import JSON, LANGUAGES, YAML, guess_language, read_text, write_text

TEXTS = [
    *("yes", "no", "on", "1e5", "012", "0x1f", "12:30", "2026-01-01", "", "null", "~", "=", "<<", "- x", "a: b", "#c"),
    *(" lead", "trail ", "1.", "+5", "1_000", ".5", "-", "!x", "&a", "*a", "%", "@", "`", "'q'", '"d"', "a\tb", "a\rb"),
    *("l1\nl2", "l1\n l2 \n", "\n", "\n\nx", "x\n\n\n", "\x85x", "é中文😀", "\u2028", "\ufeff", "true", ".inf", "-0"),
]
VALUES = {
    "texts": TEXTS,
    "numbers": [0, 1, 1.5, -3, 1e20, 1e-7, 0.1, 2**60],
    "rest": [True, False, None, {}, [], [[], [{}]]],
    "eas.termination_grace_period": 3,
    "k: y": {"1": 2, "true": 3, "名前": {"a.b": [[1], [{"x": 1}]]}},
}


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_is_written_reads_as_it_was(language: str) -> None:
    read = read_text(write_text(VALUES, language), language).document
    assert json.dumps(read) == json.dumps(VALUES)  # and 1 is not true


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_path_has_its_line(language: str) -> None:
    document = {"metadata": {"name": "a", "rpc": {"keepalive": 1}}, "containers": [{"env": [{"name": "A"}, {}]}, 5]}
    text = write_text(document, language)
    found = read_text(text, language)
    lines = text.split("\n")
    for path, word in {
        "metadata": "metadata",
        "metadata.name": "name",
        "metadata.rpc.keepalive": "keepalive",
        "containers[0].env": "env",
        "containers[0].env[0].name": "name",
        "containers[1]": "5",
    }.items():
        place = found.find_place(path)
        assert lines[place.line - 1][place.column - 1 :].lstrip('"').startswith(word), path


def test_what_is_missing_is_shown_at_what_is_around_it() -> None:
    found = read_text("metadata:\n  name: a\ncontainers:\n- image: b\n", YAML)
    assert found.find_place("containers[0].env[3].value") == found.find_place("containers[0]") == Place(4, 3)
    assert found.find_place("storage[0]") == Place(1, 1)
    assert read_text('{"x": 1,\n "name": "b"}', JSON).find_place("metadata.name") == Place(2, 2)


@pytest.mark.parametrize(
    ("language", "text", "code", "line", "column"),
    [
        (JSON, '{"a": 1,}', "not_json", 1, None),
        (JSON, '{"a": 1\n "b": 2}', "not_json", 2, 2),
        (JSON, '{"a" 1}', "not_json", 1, 6),
        (JSON, '{"a": "x\n"}', "not_json", 1, 9),
        (JSON, '{"a": "x', "not_json", 1, 7),
        (JSON, '{"a": "\\x"}', "not_json", 1, None),
        (JSON, '{"a": 1}}', "not_json", 1, 9),
        (JSON, '{"a": 1e400}', "number_invalid", 1, 7),
        (JSON, '{"a": 1,\n"b": -Infinity}', "number_invalid", 2, 6),
        (JSON, '{"b":\nNaN}', "number_invalid", 2, 1),
        (JSON, '{"a": ' + "9" * 5000 + "}", "number_invalid", 1, 7),
        (JSON, "[" * 100_000, "document_too_large", 1, 129),
        (JSON, '{"a": 1,\n "a": 2}', "name_twice", 2, 2),
        (JSON, '{"a": {"b": 1, "b": 1}}', "name_twice", 1, 16),
        (JSON, '{"a": "\\u0000"}', "text_invalid", 1, 7),
        (JSON, '{"a": "\\ud800"}', "text_invalid", 1, 7),
        (JSON, "[1]", "not_an_object", 1, 1),
        (JSON, "5", "not_an_object", 1, 1),
        (YAML, "a:\n\tb: 1", "not_yaml", 2, 1),
        (YAML, "a: 1\na: 2", "name_twice", 2, 1),
        (YAML, "{a: 1, a: 2}", "name_twice", 1, 8),
        (YAML, "a: &x [1]\nb: *x", "yaml_anchor", 1, 4),
        (YAML, "b: *x", "yaml_anchor", 1, 4),
        (YAML, "a: !!python/object/apply:os.system [ls]", "yaml_tag", 1, 4),
        (YAML, "a: .inf", "number_invalid", 1, 4),
        (YAML, "a: .nan", "number_invalid", 1, 4),
        (YAML, "a: 1e400", "number_invalid", 1, 4),
        (YAML, "a: " + "9" * 5000, "number_invalid", 1, 4),
        (YAML, "a: 1\n---\nb: 2", "not_yaml", 2, 1),
        (YAML, "- 1", "not_an_object", 1, 1),
        (YAML, "a: b: c", "not_yaml", 1, 5),
        (YAML, 'a: "x', "not_yaml", 1, None),
        (YAML, "[" * 3000, "document_too_large", 1, 129),
        (YAML, "a: 1\nb: \x01", "not_yaml", 2, 4),
        (YAML, 'a: "\\0"', "text_invalid", 1, 4),
        (YAML, "? [a]\n: 1", "not_yaml", 1, 3),
        (YAML, "a: 1\n b: 2\n", "not_yaml", 2, None),
        (YAML, "a: %x", "not_yaml", 1, 4),
        (YAML, "# nothing\n", "not_an_object", 1, 1),
    ],
)
def test_what_is_wrong_is_said_at_its_place(language: str, text: str, code: str, line: int, column: int | None) -> None:
    with pytest.raises(TextInvalid) as caught:
        read_text(text, language)
    assert caught.value.code == code
    assert caught.value.place is not None
    assert caught.value.place.line == line
    assert column is None or caught.value.place.column == column


@pytest.mark.parametrize("language", LANGUAGES)
def test_too_much_text_and_none_at_all_are_refused(language: str) -> None:
    for text, code in (("é" * 600_000, "document_too_large"), (" \n", "document_empty")):
        with pytest.raises(TextInvalid) as caught:
            read_text(text, language)
        assert caught.value.code == code
        assert caught.value.place is None


def test_yaml_is_read_as_json_means_it() -> None:
    text = "a: yes\nb: 012\nc: 12:30\nd: 2026-01-01\ne: 0x1f\nf: ~\ng: TRUE\nh: 1.50\ni: '1'\nk:\n"
    texts = {"a": "yes", "b": "012", "c": "12:30", "d": "2026-01-01", "e": "0x1f", "i": "1"}
    assert read_text(text, YAML).document == texts | {"f": None, "g": True, "h": 1.5, "k": None}


def test_comments_are_noticed_for_json_has_no_place_for_them() -> None:
    assert read_text("# why\na: 1\n", YAML).has_comments
    assert read_text("a: 1  # why\n", YAML).has_comments
    assert not read_text("a: x#y\n", YAML).has_comments


@pytest.mark.parametrize(
    ("text", "name", "language"),
    [
        ('{"a": 1}', "", JSON),
        ("\ufeff {", "", JSON),
        ("metadata:", "", YAML),
        ("{a: 1}", "x.YML", YAML),
        ("anything", "service.json", JSON),
    ],
)
def test_the_language_of_a_file_is_known_by_its_name_or_its_beginning(text: str, name: str, language: str) -> None:
    assert guess_language(text, name) == language


def test_a_byte_order_mark_is_passed_over() -> None:
    read: dict[str, Any] = read_text('\ufeff{"a": 1}', JSON).document
    assert read == {"a": 1}

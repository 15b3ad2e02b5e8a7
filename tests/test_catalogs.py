"""The catalogs of translations: complete, true to the sources, and safe to fill in."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest
from babel.messages import Message

from console.catalogs import (
    LOCALE,
    compile_all,
    gather,
    is_translated,
    messages_of,
    progress_of,
    read_catalog,
    render_catalog,
    sources,
)
from deployments.languages import TRANSLATED, Language, catalog_compiled, catalog_source, offered_languages

PLACEHOLDER = re.compile(r"%\(([\w.]+)\)([sd])|%(\w+)%")
TAG = re.compile(r"</?\w+[^>]*>")
BY_FOLDER = pytest.mark.parametrize("language", TRANSLATED, ids=lambda one: one.folder)


def texts(words: object) -> list[str]:
    return [str(word) for word in words] if isinstance(words, list | tuple) else [str(words)]


def placeholders(text: str) -> set[str]:
    """Of Python (``%(name)s``) and of our scripts (``%name%``)."""
    return {match[0] for match in PLACEHOLDER.finditer(text)}


def misfits(message: Message) -> str:
    """What is wrong with a translated message, empty where nothing is."""
    said, meant = texts(message.string), texts(message.id)
    allowed = set.union(*(placeholders(text) for text in meant))
    # A form for one thing may leave the number out, as the English may: what every form of the English has, stays.
    needed = set.intersection(*(placeholders(text) for text in meant))
    for text in said:
        found = placeholders(text)
        if needed - found or found - allowed:
            return f"{text!r} has {sorted(found)}, not {sorted(needed)}"
        if message.python_format and "%" in PLACEHOLDER.sub("", text).replace("%%", ""):
            return f"{text!r} has a lone %"
        if Counter(TAG.findall(text)) != Counter(TAG.findall(meant[-1])):
            return f"{text!r} has other tags than the English"
        if text.startswith("\n") != meant[0].startswith("\n") or text.endswith("\n") != meant[0].endswith("\n"):
            return f"{text!r} begins or ends in another line than the English"
    return ""


@BY_FOLDER
def test_a_catalog_has_every_message_of_the_sources_and_no_other(language: Language) -> None:
    # `make messages` is the cure.
    wanted = {(message.context, str(message.id)) for message in messages_of(gather(sources()))}
    there = {
        (message.context, str(message.id))
        for message in messages_of(read_catalog(catalog_source(LOCALE, language), language))
    }
    assert sorted(map(str, wanted - there)) == []
    assert sorted(map(str, there - wanted)) == []


@BY_FOLDER
def test_every_translation_has_the_placeholders_and_tags_of_the_english(language: Language) -> None:
    catalog = read_catalog(catalog_source(LOCALE, language), language)
    wrong = [
        f"{message.id!r}: {found}"
        for message in messages_of(catalog)
        if is_translated(message) and (found := misfits(message))
    ]
    assert wrong == []


@BY_FOLDER
def test_a_counted_message_has_as_many_forms_as_the_language(language: Language) -> None:
    catalog = read_catalog(catalog_source(LOCALE, language), language)
    counted = [message for message in messages_of(catalog) if message.pluralizable]
    assert counted
    assert [message.id for message in counted if len(texts(message.string)) != catalog.num_plurals] == []
    assert f'"Plural-Forms: {language.plural_forms}\\n"' in catalog_source(LOCALE, language).read_text()


@BY_FOLDER
def test_a_catalog_is_written_as_the_command_writes_it(language: Language) -> None:
    path = catalog_source(LOCALE, language)
    assert render_catalog(read_catalog(path, language), language) == path.read_bytes()


def write_catalog(locale: Path, language: Language, translated: int, total: int, marker: str = "") -> None:
    lines = ['msgid ""\nmsgstr ""\n"Content-Type: text/plain; charset=utf-8\\n"\n']
    lines += [
        f'{marker}msgid "message {number}"\nmsgstr "{"x" if number < translated else ""}"\n' for number in range(total)
    ]
    path = catalog_source(locale, language)
    path.parent.mkdir(parents=True)
    path.write_text("\n".join(lines))


def test_a_language_is_offered_from_95_percent(tmp_path: Path) -> None:
    chinese, japanese, korean, persian = TRANSLATED
    write_catalog(tmp_path, chinese, 95, 100)
    write_catalog(tmp_path, japanese, 94, 100)
    write_catalog(tmp_path, korean, 100, 100, "#, fuzzy\n")
    catalog_compiled(tmp_path, japanese).write_bytes(b"of the last set-up, when it was complete")
    progress = {one.language: one.share for one in compile_all(tmp_path)}
    assert progress == {chinese: 0.95, japanese: 0.94, korean: 0.0}
    assert [one.code for one in offered_languages(tmp_path)] == ["en", "zh-hans"]
    assert persian not in progress


def test_messages_are_gathered_from_python_and_from_templates(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text(
        "{% load i18n %}<p title=\"{% translate 'A title' %}\">{% blocktranslate count n=n %}{{ n }} thing"
        "{% plural %}{{ n }} things{% endblocktranslate %}</p>"
    )
    (tmp_path / "code.py").write_text(
        '_("Plain.")\nsay("Kept %(a)s.", a=1)\nsay_plural("%(count)s one", "%(count)s many", 2)\n'
        'pgettext("where", "In a place")\nlogger.info("not this")\n'
    )
    catalog = gather([tmp_path / "page.html", tmp_path / "code.py"], tmp_path)
    assert [(message.context, message.id) for message in messages_of(catalog)] == [
        (None, "A title"),
        (None, ("%(n)s thing", "%(n)s things")),
        (None, "Plain."),
        (None, "Kept %(a)s."),
        (None, ("%(count)s one", "%(count)s many")),
        ("where", "In a place"),
    ]


def test_progress_counts_what_a_reader_would_see_translated(tmp_path: Path) -> None:
    language = TRANSLATED[0]
    write_catalog(tmp_path, language, 3, 4)
    assert progress_of(read_catalog(catalog_source(tmp_path, language), language), language).share == 0.75

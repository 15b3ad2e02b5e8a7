"""Catalogs of messages: gathered from the sources, merged with the translations there are, and compiled.

    python -m console.catalogs update     reads the sources; keeps translations, marks what is new or has changed
    python -m console.catalogs compile    makes what Django reads, of each language translated to 95 %

Babel does the work, so that no machine needs GNU gettext. A catalog names the file of each message and no line, for a
line that moves is no change of a translation.
"""

from __future__ import annotations

import io
import os
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from babel.messages import Catalog, Message
from babel.messages.extract import extract
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po
from django.utils.translation.template import templatize

from deployments.languages import TRANSLATED, Language, catalog_compiled, catalog_source

REPOSITORY = Path(__file__).resolve().parent.parent
LOCALE = REPOSITORY / "locale"
#: Where people's words are. The command line and the supervisor speak English, to terminals.
PACKAGES = ("console", "deployments", "inference_gateway")
ENGLISH_ONLY = ("console/cli/", "console/supervisor/", "console/management/")
#: A language is offered from here on (console.md §7).
LISTED_FROM = 0.95
KEYWORDS: dict[str, Any] = {
    **dict.fromkeys(("_", "gettext", "gettext_lazy", "gettext_noop", "say")),
    **dict.fromkeys(("ngettext", "ngettext_lazy", "say_plural"), (1, 2)),
    **dict.fromkeys(("pgettext", "pgettext_lazy"), ((1, "c"), 2)),
    **dict.fromkeys(("npgettext", "npgettext_lazy"), ((1, "c"), 2, 3)),
}
HEADER = """\
# Slipway in %(name)s. `make messages` gathers new messages here and keeps the translations.
#"""
#: Headers that change with every run, or name people and programs.
PASSING_HEADERS = re.compile(
    r'^"(?:POT-Creation-Date|PO-Revision-Date|Last-Translator|Language-Team|Generated-By|Report-Msgid-Bugs-To): .*\n',
    re.MULTILINE,
)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a language is."""

    language: Language
    translated: int
    total: int

    @property
    def share(self) -> float:
        return self.translated / self.total if self.total else 1.0

    @property
    def is_listed(self) -> bool:
        return self.share >= LISTED_FROM


def sources(root: Path = REPOSITORY) -> list[Path]:
    """Every file whose words people see."""
    found = [path for package in PACKAGES for path in (root / package).rglob("*.py")]
    found += (root / "templates").rglob("*.html")
    names = {path.relative_to(root).as_posix(): path for path in found}
    return [names[name] for name in sorted(names) if not name.startswith(ENGLISH_ONLY) and "/migrations/" not in name]


def gather(files: Iterable[Path], root: Path = REPOSITORY) -> Catalog:
    """Every message of these files, in English, in the order of the files and within them."""
    catalog = Catalog(project="Slipway", charset="utf-8", fuzzy=False)
    for path in files:
        name = path.relative_to(root).as_posix()
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".html":
            text = templatize(text, origin=name)
        for line, message, comments, context in extract(
            "python", io.BytesIO(text.encode()), KEYWORDS, ["Translators:"], {"encoding": "utf-8"}
        ):
            catalog.add(message, None, [(name, line)], auto_comments=comments, context=context)
    return catalog


def read_catalog(path: Path, language: Language) -> Catalog:
    """The translations there are; an empty catalog where there is no file yet."""
    if not path.is_file():
        catalog = Catalog(locale=language.folder, project="Slipway", charset="utf-8", fuzzy=False)
    else:
        with path.open("rb") as file:
            catalog = read_po(file, locale=language.folder, charset="utf-8")
    # Babel's own rule for Persian is another than Django's.
    catalog.mime_headers = [("Plural-Forms", language.plural_forms)]
    return catalog


def render_catalog(catalog: Catalog, language: Language) -> bytes:
    catalog.header_comment = HEADER % {"name": language.name}
    catalog.fuzzy = False
    for message in catalog:
        if not message.python_format:  # a guess brings the flag of the message it was taken from
            message.flags.discard("python-format")
    written = io.BytesIO()
    write_po(written, catalog, width=120, include_lineno=False, ignore_obsolete=True)
    return PASSING_HEADERS.sub("", written.getvalue().decode()).encode()


def messages_of(catalog: Catalog) -> Iterator[Message]:
    """Every message but the header."""
    return (message for message in catalog if message.id)


def is_translated(message: Message) -> bool:
    words = message.string if isinstance(message.string, list | tuple) else (message.string,)
    return not message.fuzzy and all(words)


def progress_of(catalog: Catalog, language: Language) -> Progress:
    messages = list(messages_of(catalog))
    return Progress(language, sum(map(is_translated, messages)), len(messages))


def update(locale: Path = LOCALE) -> list[Progress]:
    """Merge what the sources say now into every catalog."""
    template = gather(sources())
    found = []
    for language in TRANSLATED:
        path = catalog_source(locale, language)
        catalog = read_catalog(path, language)
        catalog.update(template, update_creation_date=False)
        path.parent.mkdir(parents=True, exist_ok=True)
        replace(path, render_catalog(catalog, language))
        found.append(progress_of(catalog, language))
    return found


def compile_all(locale: Path = LOCALE) -> list[Progress]:
    """Make every language's compiled catalog, and remove that of a language that is not far enough to be offered."""
    found = []
    for language in TRANSLATED:
        path = catalog_source(locale, language)
        compiled = catalog_compiled(locale, language)
        if not path.is_file():
            compiled.unlink(missing_ok=True)
            continue
        catalog = read_catalog(path, language)
        progress = progress_of(catalog, language)
        if progress.is_listed:
            written = io.BytesIO()
            write_mo(written, catalog)  # without what is marked fuzzy
            replace(compiled, written.getvalue())
        else:
            compiled.unlink(missing_ok=True)
        found.append(progress)
    return found


def replace(path: Path, content: bytes) -> None:
    """Write the file as a whole, or leave it untouched where nothing changed: Slipway may be reading it."""
    if path.is_file() and path.read_bytes() == content:
        return
    aside = path.with_suffix(f"{path.suffix}.{os.getpid()}")
    aside.write_bytes(content)
    aside.replace(path)


def main(arguments: list[str]) -> int:
    """The commands of the module's docstring. Returns the exit code."""
    if arguments not in (["update"], ["compile"]):
        print("usage: python -m console.catalogs update|compile", file=sys.stderr)  # noqa: T201 - a command
        return 2
    for progress in update() if arguments == ["update"] else compile_all():
        language, offered = (
            progress.language,
            "offered" if progress.is_listed else f"not offered below {LISTED_FROM:.0%}",
        )
        print(f"{language.tag:8} {progress.translated} of {progress.total}, {progress.share:.1%}, {offered}")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

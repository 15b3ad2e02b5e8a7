"""The languages that people read: their names, how their plurals go, and which of them this installation speaks.

Nothing of Django is loaded here: the settings list the languages from this, and ``console.catalogs`` makes them.
REST, the command line, the gateway and logs speak English always.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Language:
    """``code`` is Django's, ``tag`` the web's (``<html lang>``, ``Intl``), ``folder`` gettext's."""

    code: str
    tag: str
    folder: str
    name: str  # in the language itself
    plural_forms: str  # gettext's header


ENGLISH = Language("en", "en", "en", "English", "nplurals=2; plural=(n != 1);")
TRANSLATED = (
    Language("zh-hans", "zh-Hans", "zh_Hans", "简体中文", "nplurals=1; plural=0;"),
    Language("ja", "ja", "ja", "日本語", "nplurals=1; plural=0;"),
    Language("ko", "ko", "ko", "한국어", "nplurals=1; plural=0;"),
    Language("fa", "fa", "fa", "فارسی", "nplurals=2; plural=(n > 1);"),
)


def catalog_source(locale: Path, language: Language) -> Path:
    """The translations as people edit them."""
    return locale / language.folder / "LC_MESSAGES" / "django.po"


def catalog_compiled(locale: Path, language: Language) -> Path:
    """The translations as Django reads them; there only for a language that is complete enough to be offered."""
    return catalog_source(locale, language).with_suffix(".mo")


def offered_languages(locale: Path) -> list[Language]:
    """English, and every language whose catalog was compiled (``console.catalogs`` decides that at set-up)."""
    return [ENGLISH, *(one for one in TRANSLATED if catalog_compiled(locale, one).is_file())]


def language_tag(code: str | None) -> str:
    """The web's name of a language by Django's; English for an unknown one."""
    return next((one.tag for one in TRANSLATED if one.code == code), ENGLISH.tag)

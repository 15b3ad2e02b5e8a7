"""The columns of the services list (console.md §4): which there are, which are shown, and what a cell says. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy, pgettext_lazy

from deployments.words import in_digits

#: The name is always there; ``?column=name`` alone therefore says "no other".
NAME = "name"


@dataclass(frozen=True, slots=True)
class Column:
    """``sort`` is the database column that a click on its head sorts by, "" for none."""

    key: str
    word: str | Promise
    sort: str = ""
    newest_first: bool = False
    is_number: bool = False


ALL = (
    Column(NAME, gettext_lazy("Service"), "name"),
    Column("status", gettext_lazy("Status"), "status"),
    Column("instances", gettext_lazy("Instances"), "wanted_instances", is_number=True),
    Column("revision", gettext_lazy("Version")),
    Column("resources", gettext_lazy("Resources")),
    Column("workspace", gettext_lazy("Workspace"), "workspace__name"),
    Column("author", pgettext_lazy("the person who did", "Created by"), "created_by__username"),
    Column("created", gettext_lazy("Created"), "created_at", newest_first=True),
    Column("updated", gettext_lazy("Updated"), "updated_at", newest_first=True),
)
BY_KEY = {column.key: column for column in ALL}
DEFAULT = ("status", "instances", "created")


def parse_columns(named: Iterable[str]) -> tuple[str, ...]:
    """Those that are known, in the table's own order; the usual ones where none is named."""
    wanted = set(named) & BY_KEY.keys()
    return tuple(column.key for column in ALL if column.key in wanted - {NAME}) if wanted else DEFAULT


def encode_columns(shown: tuple[str, ...]) -> list[str]:
    """The values of ``column`` in an address: none for the usual ones."""
    return [] if shown == DEFAULT else [NAME, *shown]


def resources_words(document: dict[str, Any]) -> str:
    """What one instance may use, as far as the document says: ``2 CPU · 4 GiB · 1 GPU``."""
    metadata = document.get("metadata") or {}
    said = []
    if metadata.get("instance_type"):
        said.append(str(metadata["instance_type"]))
    if cpu := metadata.get("cpu"):
        said.append(in_digits(f"{cpu:g} CPU" if isinstance(cpu, int | float) else f"{cpu} CPU"))
    if isinstance(metadata.get("memory"), int | float):
        said.append(in_digits(f"{metadata['memory'] / 1024:.3g} GiB"))
    if metadata.get("gpu"):
        said.append(in_digits(f"{metadata['gpu']} GPU"))
    return " · ".join(said)

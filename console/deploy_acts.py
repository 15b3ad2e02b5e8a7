"""What the buttons of the custom form do to a draft: another view, a starter, a file, and the way back. No I/O.

Whatever replaces what was written keeps it for **Undo**, in hidden fields of the form: nothing typed is lost, with or
without scripts.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from django.http import QueryDict
from django.utils.translation import gettext as _

from console.deploy_custom import FORM, VIEWS, Draft, read, switch_view
from console.deploy_fields import Fields, unix, write_fields
from console.deploy_starters import find_starter
from deployments.clusters.base import Capacity
from deployments.spec import FieldError
from deployments.spec.spec import MAX_DOCUMENT_BYTES
from deployments.spec.text import JSON, guess_language, write_text


@dataclass(frozen=True, slots=True)
class Undo:
    """What was there before, and a sentence on what took its place. Of the fields, ``text`` is JSON.

    ``base`` is the version that it was an edit of, where taking another's changes moved that.
    """

    view: str
    text: str
    said: str
    base: int | None = None

    @classmethod
    def of(cls, draft: Draft, said: str) -> Undo:
        text = write_text(write_fields(draft.fields, draft.base), JSON) if draft.view == FORM else draft.text
        return cls(draft.view, text, said)

    @classmethod
    def parse(cls, form: QueryDict) -> Undo | None:
        """What an earlier answer put into the form."""
        view, said = form.get("undo_view", ""), form.get("undo_said", "")
        base = form.get("undo_base", "")
        number = int(base) if base.isascii() and base.isdecimal() and len(base) < 10 else None
        return cls(view, unix(form.get("undo_text", "")), said[:300], number) if view in VIEWS else None

    def draft(self) -> Draft:
        if self.view != FORM:
            return Draft(self.view, Fields.of({}), self.text, {})
        try:
            document = json.loads(self.text)
        except (ValueError, RecursionError):
            document = {}
        return Draft.of(document if isinstance(document, dict) else {})


@dataclass(frozen=True, slots=True)
class Acted:
    """The draft after a button, its way back, and why nothing was done."""

    draft: Draft
    undo: Undo | None = None
    problem: FieldError | None = None


@dataclass(frozen=True, slots=True)
class File:
    """A file that was chosen or dropped. ``content`` is None for one over the limit, which is not read."""

    name: str
    content: bytes | None


def act_on(
    draft: Draft, act: str, form: QueryDict, file: File | None, taken: Collection[str], nodes: Sequence[Capacity]
) -> Acted:
    """Do what a button asks for; every other act leaves the draft as it is."""
    undo = Undo.parse(form)
    verb, _colon, what = act.partition(":")
    if verb == "view":
        return show_as(draft, what, undo)
    if verb == "undo" and undo is not None:
        return Acted(undo.draft())
    if verb == "starter" and (starter := find_starter(what)) is not None:
        said = _("The starter “%(title)s” took the place of what was here.") % {"title": str(starter.title)}
        document = starter.document(taken, nodes)
        return Acted(Draft.of(document, draft.view), Undo.of(draft, said))
    if verb == "import":
        return take_file(draft, file, undo)
    return Acted(draft, undo)


def show_as(draft: Draft, view: str, undo: Undo | None) -> Acted:
    switched = switch_view(draft, view)
    if switched.loses_comments:
        undo = Undo.of(draft, _("Comments are only kept in YAML, and are left out here."))
    return Acted(switched.draft, undo, switched.problem)


def take_file(draft: Draft, file: File | None, undo: Undo | None) -> Acted:
    """A document from a file, as its text is: comments, order and mistakes are kept."""
    if file is None:
        return Acted(draft, undo, FieldError("file", "file_missing", _("Choose a JSON or YAML file first.")))
    if file.content is None or len(file.content) > MAX_DOCUMENT_BYTES:
        told = _("%(name)s is too large: a service document has at most 1 MiB.") % {"name": file.name}
        return Acted(draft, undo, FieldError("file", "document_too_large", told))
    try:
        text = unix(file.content.decode("utf-8-sig"))
    except UnicodeDecodeError:
        told = _("%(name)s is not text in UTF-8. Choose a JSON or YAML file.") % {"name": file.name}
        return Acted(draft, undo, FieldError("file", "not_text", told))
    said = _("The file %(name)s took the place of what was here.") % {"name": file.name}
    taken = Draft(guess_language(text, file.name), Fields.of({}), text, {})
    if draft.view == FORM and read(taken).spec is not None:
        taken = switch_view(taken, FORM).draft
    return Acted(taken, Undo.of(draft, said))

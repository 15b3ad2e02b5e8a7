"""A form that was sent after its session had ended: what was typed waits behind the sign-in and is put back (§4).

The answer to such a form is the sign-in page, which carries the fields signed in a hidden one of its own: nothing of a
stranger's is stored. After the sign-in they lie in the session until the form's page is next shown; there they are
written into the HTML that the page's view made, so that no view and no template has to know. Nothing is ever sent but
by the person's own click. Passwords are dropped before anything is kept, and so are the deployment forms, whose
fields may hold secrets and which keep drafts of their own in the tab.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from html import escape
from html.parser import HTMLParser
from typing import Any

from django.core import signing
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.template.loader import render_to_string
from django.utils.translation import gettext as _

KEY = "kept_form"
#: A form that was left for longer is begun anew.
KEPT_SECONDS = 3600
MAX_CHARACTERS = 65_536
#: Names of fields that are never kept: passwords (a test looks through the templates for others), and what is the
#: page's own. An address that was asked for is carried by the sign-in itself.
UNKEPT = frozenset({"csrfmiddlewaretoken", "next", "password", "old_password", "new_password"})
#: Their documents hold environments, and so secrets.
_DEPLOYMENT = re.compile(r"/deploy/|/services/[^/]+/edit")
#: A person typed or chose what is in these; other inputs are the page's own.
_TYPED = frozenset({"text", "email", "number", "search", "url", "tel", "date", "datetime-local", "time"})
_CHOSEN = frozenset({"checkbox", "radio"})


def keep(request: HttpRequest) -> str:
    """The fields of a form that met an ended session, signed; "" where none may be kept or there are too many."""
    if request.method != "POST" or _DEPLOYMENT.match(request.path):
        return ""
    pairs = [(name, value) for name in request.POST if name not in UNKEPT for value in request.POST.getlist(name)]
    if not pairs or sum(len(name) + len(value) for name, value in pairs) > MAX_CHARACTERS:
        return ""
    return signing.dumps({"action": request.path, "pairs": pairs}, salt=KEY, compress=True)


def await_page(request: HttpRequest, kept: str, there: str) -> None:
    """Put what ``keep`` signed into the new session, for the page at ``there``; anything else is passed over."""
    try:
        form = signing.loads(kept, salt=KEY, max_age=KEPT_SECONDS) if kept else None
    except signing.BadSignature:
        return
    if form is not None:
        request.session[KEY] = form | {"page": there, "until": time.time() + KEPT_SECONDS}


def give_back(request: HttpRequest, response: HttpResponseBase) -> None:
    """Write the kept fields into the page they were typed on, with a notice, once."""
    kept: dict[str, Any] | None = request.session.get(KEY) if request.method == "GET" else None
    if kept is None or not isinstance(response, HttpResponse) or response.status_code != 200:
        return
    if kept["until"] < time.time():
        del request.session[KEY]
    elif kept["page"] == request.get_full_path() and response["Content-Type"].startswith("text/html"):
        del request.session[KEY]
        page = fill_form(response.text, request.path, kept["action"], [(name, value) for name, value in kept["pairs"]])
        if not page.is_filled and kept["page"] != kept["action"]:
            request.session[KEY] = kept | {"page": kept["action"]}  # the browser did not say where the form was
        response.content = page.with_notice(notice_of(is_filled=page.is_filled)).encode()


def notice_of(*, is_filled: bool) -> str:
    if is_filled:
        said = _("Your session had ended, so this was not sent. What you typed is here again: look, then send it.")
    else:
        said = _("Your session had ended, so what you sent last was not done. Do it again here.")
    return render_to_string("console/parts/notice.html", {"tone": "warning", "text": said})


@dataclass(frozen=True, slots=True)
class FilledPage:
    """HTML with the fields of one form set. ``notices_at`` is where a notice goes, None where the page has no place."""

    html: str
    is_filled: bool
    notices_at: int | None

    def with_notice(self, notice: str) -> str:
        if self.notices_at is None:
            return self.html
        return self.html[: self.notices_at] + notice + self.html[self.notices_at :]


def fill_form(html: str, page: str, action: str, pairs: list[tuple[str, str]]) -> FilledPage:
    """The page at path ``page`` with ``pairs`` in its first form that is sent to ``action`` and has such fields. Pure.

    As a browser would have it had the person typed them: what was not sent of it is unticked; hidden fields, passwords
    and files stay the page's.
    """
    filler = _Filler(page, action, pairs)
    filler.feed(html)
    filler.close()
    return FilledPage("".join(filler.parts), filler.is_filled, filler.notices_at)


@dataclass(slots=True)
class _Select:
    name: str
    #: What is still to be chosen in it.
    values: list[str] = field(default_factory=list)


class _Filler(HTMLParser):
    """Copies HTML as it is written, but for the start tags of one form's fields."""

    def __init__(self, page: str, action: str, pairs: list[tuple[str, str]]) -> None:
        super().__init__(convert_charrefs=False)
        self.page, self.action = page, action
        self.values: dict[str, list[str]] = {}
        for name, value in pairs:
            self.values.setdefault(name, []).append(value)
        self.parts: list[str] = []
        self.is_filled = False
        self.notices_at: int | None = None
        self.is_inside = False
        self.select: _Select | None = None
        self.is_replacing = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        source = self.get_starttag_text() or ""
        given = dict(attrs)
        if tag == "form" and not self.is_filled:
            sent_to = given.get("action") or self.page
            self.is_inside = given.get("method") == "post" and sent_to.split("?")[0] == self.action
        replaced = self.replace(tag, given, source) if self.is_inside else source
        self.write(replaced)
        if given.get("id") == "notices":
            self.notices_at = sum(map(len, self.parts))
        if self.is_inside and tag == "textarea" and given.get("name") in self.values:
            # A first line feed is the tag's own.
            self.parts.append("\n" + escape(self.take(given.get("name") or ""), quote=False))
            self.is_replacing = self.is_filled = True

    handle_startendtag = handle_starttag

    def replace(self, tag: str, given: dict[str, str | None], source: str) -> str:
        """The start tag as it is to be."""
        name, value = given.get("name") or "", given.get("value")
        kind = (given.get("type") or "text") if tag == "input" else tag
        if "readonly" in given or "disabled" in given:
            return source
        if kind in _TYPED and name in self.values:
            self.is_filled = True
            return _tag(tag, given | {"value": self.take(name)})
        if kind in _CHOSEN and name:
            is_chosen = (value or "on") in self.values.get(name, [])
            self.is_filled |= is_chosen
            return _marked(tag, given, "checked", is_marked=is_chosen)
        if kind == "select" and name in self.values:
            self.select = _Select(name, self.values[name])
        elif kind == "option" and self.select is not None:
            is_chosen = value in self.select.values
            self.is_filled |= is_chosen
            return _marked(tag, given, "selected", is_marked=is_chosen)
        return source

    def take(self, name: str) -> str:
        """The value of a field; of several fields of one name each its own, in their order."""
        values = self.values[name]
        return values.pop(0) if len(values) > 1 else values[0]

    def handle_endtag(self, tag: str) -> None:
        if tag == "textarea":
            self.is_replacing = False
        elif tag == "select":
            self.select = None
        elif tag == "form":
            self.is_inside = False
        self.write(f"</{tag}>")

    def write(self, text: str) -> None:
        if not self.is_replacing:
            self.parts.append(text)

    def handle_data(self, data: str) -> None:
        self.write(data)

    def handle_entityref(self, name: str) -> None:
        self.write(f"&{name};")

    def handle_charref(self, name: str) -> None:
        self.write(f"&#{name};")

    def handle_comment(self, data: str) -> None:
        self.write(f"<!--{data}-->")

    def handle_decl(self, decl: str) -> None:
        self.write(f"<!{decl}>")


def _tag(name: str, attributes: dict[str, str | None]) -> str:
    written = (f" {key}" if value is None else f' {key}="{escape(value)}"' for key, value in attributes.items())
    return f"<{name}{''.join(written)}>"


def _marked(tag: str, given: dict[str, str | None], mark: str, *, is_marked: bool) -> str:
    """The start tag with or without an attribute that has no value."""
    rest: dict[str, str | None] = {name: value for name, value in given.items() if name != mark}
    return _tag(tag, rest | {mark: None} if is_marked else rest)

"""Actions on the services that are selected in the list: asked once for all, and answered for each.

The same address asks (first POST), does (``confirmed``), and goes on with those that are left. It is a POST all the
way, for the names of ten thousand services are no query string.
"""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qs

from django.http import HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_POST

from console.access import SignedInRequest, is_scripted, refuse, signed_in
from console.bulk import MOST_NAMES, VERBS, Outcome, Question, Report, carry_out, parse_names, question_of
from console.service_list import ListQuery, ServiceList
from console.views.service_actions import way_back
from deployments.words import number

#: Of the refusals of earlier requests: each is a sentence, and the page carries them.
MOST_CARRIED = 200


@require_POST
@signed_in
def bulk(request: SignedInRequest) -> HttpResponse:
    """Ask, do, or go on."""
    action = request.POST.get("action", "")
    if action not in VERBS:
        return refuse(request, 422, _("Choose what to do with the selected services: stop, start, restart or delete."))
    names = named_services(request)
    if not names:
        return refuse(request, 422, _("No service is selected. Select some in the list, then choose again."))
    if "confirmed" not in request.POST:
        return ask(request, question_of(request.user, action, names), names)
    if "done" not in request.POST:
        question = question_of(request.user, action, names)
        if question.phrase and request.POST.get("typed_phrase", "").strip() != question.phrase:
            sentence = _("Type %(phrase)s, exactly as it is written here, or cancel.") % {"phrase": question.phrase}
            return ask(request, question, names, sentence, status=422)
    return tell(request, action, carry_out(request.user, action, names))


def named_services(request: SignedInRequest) -> tuple[str, ...]:
    """Those that the form names: in one field, as checkboxes, or all that match the list's address."""
    if request.POST.get("all") == "1":
        said = parse_qs(request.POST.get("query", "")[:2000])
        query = ListQuery.parse({name: values[-1] for name, values in said.items()})
        matching = ServiceList(request.user, query, timezone.now()).matching()
        return tuple(matching.order_by("name").values_list("name", flat=True)[:MOST_NAMES])
    return parse_names(" ".join([request.POST.get("names", ""), *request.POST.getlist("service")]))


def ask(
    request: SignedInRequest, question: Question, names: tuple[str, ...], error: str = "", status: int = 200
) -> HttpResponse:
    """The confirmation."""
    context = {
        "question": question,
        "names": " ".join(names),
        "error": error,
        "typed": request.POST.get("typed_phrase", ""),
    }
    return show(request, "console/parts/bulk_confirmation.html", context, status)


def tell(request: SignedInRequest, action: str, report: Report) -> HttpResponse:
    """What came of each, and how many are left."""
    before = carried(request)
    text = request.POST.get("done", "0")
    done = (int(text) if text.isdecimal() and len(text) < 7 else 0) + len(report.outcomes)
    refused = [*before, *report.refused][:MOST_CARRIED]
    succeeded = [one for one in report.outcomes if not one.is_refused]
    count = done - len(before) - len(report.refused)
    summary = ngettext(
        "%(count)s service was changed or was so already.", "%(count)s services were changed or were so already.", count
    )
    context = {
        "action": action,
        "report": report,
        "succeeded": succeeded[:MOST_CARRIED],
        "refused": refused,
        "refused_json": json.dumps([[one.name, one.said] for one in refused]),
        "rest": " ".join(report.rest),
        "left": len(report.rest),
        "done": done,
        "total": done + len(report.rest),
        "summary": summary % {"count": number(count)},
    }
    response = show(request, "console/parts/bulk_results.html", context, 200)
    if is_scripted(request) and not report.rest:
        response["HX-Trigger"] = json.dumps({"slipway:bulk-done": {"said": context["summary"]}})
    return response


def carried(request: SignedInRequest) -> list[Outcome]:
    """The refusals of the requests before, as the page brought them. They are the person's own to write."""
    try:
        said = json.loads(request.POST.get("refused", "[]"))
        return [Outcome(str(name)[:63], str(why)[:500], is_refused=True) for name, why in said[:MOST_CARRIED]]
    except (ValueError, TypeError):
        return []


def show(request: SignedInRequest, part: str, context: dict[str, Any], status: int) -> HttpResponse:
    """A fragment for the dialog, or the same as a page."""
    whole = context | {"next": way_back(request, "/"), "part": part, "section": "services"}
    template = part if is_scripted(request) else "console/bulk.html"
    return render(request, template, whole | {"page": not is_scripted(request)}, status=status)

"""A service's versions: the list, one version's document, and any two compared (console.md §5 "Versions")."""

from __future__ import annotations

from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils.http import content_disposition_header
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from console.access import SignedInRequest, get_service, signed_in
from console.service_view import document_text, page_of
from deployments.accounts import require_change
from deployments.clusters import get_cluster
from deployments.differences import compare
from deployments.models import Revision, Service
from deployments.spec import ServiceSpec, SpecInvalid
from deployments.spec.text import write_text

VERSIONS_A_PAGE = 25


@require_safe
@signed_in
def versions(request: SignedInRequest, name: str) -> HttpResponse:
    """The revisions, newest first; the wanted and the serving one are marked."""
    service = get_service(request, name)
    revisions = service.revisions.select_related("author").defer("document")
    context = page_of(request.user, service, "versions")
    context["page"] = Paginator(revisions, VERSIONS_A_PAGE).get_page(request.GET.get("page"))
    return render(request, "console/service/versions.html", context)


@require_safe
@signed_in
def version(request: SignedInRequest, name: str, number: int) -> HttpResponse:
    """One revision's document."""
    service = get_service(request, name)
    require_change(request.user, service.workspace, service.name)
    revision = get_object_or_404(service.revisions.select_related("author"), number=number)
    context = page_of(request.user, service, "versions")
    context |= {"revision": revision, "document": document_text(revision.document), "refusal": refusal_words(revision)}
    return render(request, "console/service/version.html", context)


@require_safe
@signed_in
def compare_versions(request: SignedInRequest, name: str) -> HttpResponse:
    """What differs between ``?from=1`` and ``?to=2``; without them, between the wanted version and the one before."""
    service = get_service(request, name)
    require_change(request.user, service.workspace, service.name)
    numbers = list(service.revisions.order_by("-number").values_list("number", flat=True))
    after = service.wanted_revision.number if service.wanted_revision else numbers[0]
    chosen = {
        "to": request.GET.get("to", str(after)),
        "from": request.GET.get("from", str(max((one for one in numbers if one < after), default=after))),
    }
    context = page_of(request.user, service, "versions") | {"numbers": numbers, "chosen": chosen}
    found = {end: find_revision(service, number) for end, number in chosen.items()}
    context["errors"] = [
        _("%(end)s: there is no version %(number)s. Choose one of the list.") % {"end": end, "number": chosen[end][:20]}
        for end, revision in found.items()
        if revision is None
    ]
    older, newer = found["from"], found["to"]
    if older is not None and newer is not None:
        context |= {"older": older, "newer": newer, "changes": list(compare(older.document, newer.document))}
        context |= {"older_words": revision_words(older), "newer_words": revision_words(newer)}
    return render(request, "console/service/compare.html", context, status=400 if context["errors"] else 200)


@require_safe
@signed_in
def document_file(request: SignedInRequest, name: str, kind: str, number: int | None = None) -> HttpResponse:
    """The document as a JSON or YAML file: the wanted one with its present instances, or a version's. No token."""
    service = get_service(request, name)
    require_change(request.user, service.workspace, service.name)
    revision = get_object_or_404(service.revisions, number=number) if number else service.wanted_revision
    document = revision.document if number and revision else service.document
    stem = f"{service.name}-r{revision.number}" if revision else service.name
    text = write_text(document, kind)
    answer = HttpResponse(
        text if text.endswith("\n") else f"{text}\n", content_type=f"application/{kind}; charset=utf-8"
    )
    answer.headers["Content-Disposition"] = content_disposition_header(True, f"{stem}.{kind}")
    answer.headers["Cache-Control"] = "no-store"
    return answer


def refusal_words(revision: Revision) -> str:
    """Why the cluster could not run a version now, "" where it could: rules, images and folders change."""
    try:
        refusal = get_cluster().refuse(ServiceSpec.parse(revision.document))
    except SpecInvalid as invalid:
        return str(invalid)
    return f"{refusal.message} {refusal.cure}".strip() if refusal else ""


def revision_words(revision: Revision) -> str:
    """A version with its author, as the head of a column."""
    author = revision.author.get_username() if revision.author else "–"
    return f"r{revision.number} · {author}"


def find_revision(service: Service, number: str) -> Revision | None:
    digits = number.removeprefix("r")
    if not digits.isascii() or not digits.isdigit() or len(digits) > 9:
        return None
    return service.revisions.select_related("author").filter(number=int(digits)).first()

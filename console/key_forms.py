"""Forms about API keys and limits: what was typed, read and shown again, and the words for what a key may do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from django.http import QueryDict
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from deployments.api_keys import LIMIT_FIELDS, KeyScope, KeyTerms, limits_of, services_to_name
from deployments.models import ApiKey, Limited, Service, Workspace
from deployments.spec import SpecInvalid
from deployments.words import number

#: Services with a box of their own; others are named in a line of text.
MOST_BOXES = 50
NAMES_IN_LIST = 3

SCOPES = {
    KeyScope.CHAT: (gettext_lazy("Chat"), gettext_lazy("Talk to language models, over HTTP and WebSocket.")),
    KeyScope.EMBEDDINGS: (
        gettext_lazy("Embeddings and media"),
        gettext_lazy("Embeddings, reranking, audio, images and what else engines have below /v1."),
    ),
    KeyScope.CALL: (gettext_lazy("Everything else"), gettext_lazy("Any other path of a service, such as its own API.")),
}
LIMITS = {
    "requests_per_minute": gettext_lazy("Requests per minute"),
    "tokens_per_minute": gettext_lazy("Tokens per minute"),
    "parallel_requests": gettext_lazy("Parallel requests"),
    "tokens_per_day": gettext_lazy("Tokens per day"),
    "tokens_per_month": gettext_lazy("Tokens per month"),
}

Errors = dict[str, list[str]]


def read_limits(post: QueryDict) -> tuple[dict[str, str], dict[str, int | None], Errors]:
    """What was typed, the limits it means, and what is wrong with it."""
    given = {name: post.get(name, "").strip()[:40] for name in LIMIT_FIELDS}
    limits: dict[str, int | None] = {}
    errors: Errors = {}
    for name, typed in given.items():
        if typed and not typed.isdecimal():
            errors[name] = [_("Give a whole number of 1 or more, or nothing for no limit.")]
        else:
            limits[name] = int(typed) if typed else None
    return given, limits, errors


def limit_rows(given: Mapping[str, str], errors: Errors) -> list[dict[str, Any]]:
    """The fields of ``console/keys/limits.html``."""
    return [
        {"name": name, "label": label, "value": given.get(name, ""), "errors": errors.get(name, [])}
        for name, label in LIMITS.items()
    ]


def typed_limits(row: Limited) -> dict[str, str]:
    """Limits as they would be typed."""
    return {name: "" if value is None else str(value) for name, value in limits_of(row).items()}


def limit_words(row: Limited) -> list[tuple[str, str]]:
    """The limits that a row has, each with its number."""
    return [(str(LIMITS[name]), number(value)) for name, value in limits_of(row).items() if value is not None]


def read_terms(post: QueryDict, workspace: Workspace) -> tuple[dict[str, Any], KeyTerms, Errors]:
    """What was typed into the form of a key, the terms it means, and what is wrong with it."""
    typed, limits, errors = read_limits(post)
    named = post.get("more", "").replace("\0", "").replace(",", " ").split()[:500]
    given: dict[str, Any] = {
        "name": post.get("name", "").replace("\0", "").strip()[:200],
        "scopes": [scope for scope in post.getlist("scopes") if scope in KeyScope.values],
        "reach": "some" if post.get("reach") == "some" else "all",
        "services": [uid.replace("\0", "") for uid in post.getlist("services")[:500]],
        "more": " ".join(named),
        "limits": typed,
    }
    uids: list[str] = []
    if given["reach"] == "some":
        found = dict(services_to_name(workspace).filter(name__in=named).values_list("name", "uid"))
        unknown = [name for name in named if name not in found]
        uids = [*given["services"], *found.values()]
        if unknown:
            words = _("There is no service %(name)s in %(workspace)s.")
            errors["services"] = [words % {"name": name[:63], "workspace": workspace.name} for name in unknown[:5]]
        elif not uids:
            errors["services"] = [_("Choose at least one service, or every service.")]
    terms = KeyTerms(given["name"], tuple(given["scopes"]), tuple(uids), limits)
    return given, terms, errors


def typed_terms(row: ApiKey) -> dict[str, Any]:
    """A key's terms as they would be typed."""
    shown = {service.uid for service in list(services_to_name(row.workspace)[:MOST_BOXES])}
    others = [uid for uid in row.service_uids if uid not in shown]
    named = services_to_name(row.workspace).filter(uid__in=others).values_list("name", flat=True) if others else []
    return {
        "name": row.name,
        "scopes": row.scopes,
        "reach": "some" if row.service_uids else "all",
        "services": [uid for uid in row.service_uids if uid in shown],
        "more": " ".join(named),
        "limits": typed_limits(row),
    }


def add_errors(errors: Errors, invalid: SpecInvalid) -> Errors:
    """The errors of a form together with those that the rules found; each field's own words count."""
    told = dict(errors)
    for error in invalid.errors:
        told.setdefault(error.field, [error.message])
    return told


def form_context(workspace: Workspace, given: Mapping[str, Any], errors: Errors) -> dict[str, Any]:
    """What ``console/keys/terms.html`` shows."""
    boxes: list[Service] = list(services_to_name(workspace)[: MOST_BOXES + 1])
    return {
        "workspace": workspace,
        "given": given,
        "errors": errors,
        "scopes": [{"scope": str(scope), "word": word, "hint": hint} for scope, (word, hint) in SCOPES.items()],
        "services": boxes[:MOST_BOXES],
        "has_more": len(boxes) > MOST_BOXES,
        "limits": limit_rows(given["limits"], errors),
        "has_limits": any(given["limits"].values()) or any(name in errors for name in LIMIT_FIELDS),
    }


def list_rows(keys: Iterable[ApiKey]) -> list[dict[str, Any]]:
    """The rows of ``console/keys/api_keys.html``, with one query for the names of services."""
    rows = list(keys)
    wanted = {uid for row in rows for uid in row.service_uids}
    names = dict(Service.objects.filter(uid__in=wanted).values_list("uid", "name")) if wanted else {}
    return [
        {
            "key": row,
            "services": sorted(names[uid] for uid in row.service_uids if uid in names)[:NAMES_IN_LIST],
            "more": max(0, len(row.service_uids) - NAMES_IN_LIST),
            "scopes": [SCOPES[KeyScope(scope)][0] for scope in row.scopes if scope in KeyScope.values],
            "limits": limit_words(row),
        }
        for row in rows
    ]

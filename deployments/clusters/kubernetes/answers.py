"""What the API server's refusals mean: one place that turns a status into ``ClusterError``. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from deployments.clusters.base import ClusterError
from deployments.clusters.kubernetes.versions import NEEDED
from deployments.words import say

#: Answers after which the same request may go through: too many requests, and servers that restart or are behind.
PASSING = frozenset({429, 500, 502, 503, 504})
#: The longest text of a server's own message that is kept.
MOST_TEXT = 600


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked, in the words of RBAC, for sentences about it."""

    verb: str  # get, list, watch, create, patch, delete
    resource: str  # the plural: "deployments"
    name: str = ""
    namespace: str = ""

    @property
    def object(self) -> str:
        return f"{self.resource}/{self.name}" if self.name else self.resource


def read_status(body: bytes) -> Mapping[str, Any]:
    """The ``Status`` object of a refusal; what a proxy in between wrote is its message."""
    try:
        status = json.loads(body)
    except ValueError:
        status = None
    if isinstance(status, dict) and status.get("kind") == "Status":
        return status
    return {"message": body[:MOST_TEXT].decode(errors="replace").strip()}


def error_of(code: int, body: bytes, asked: Asked) -> ClusterError:
    """The error for an answer outside 2xx."""
    status = read_status(body)
    text = str(status.get("message") or "")[:MOST_TEXT]
    if code == 401:
        return unauthorized()
    if code == 403:
        return refused(text, status, asked)
    if code == 404:
        return missing(text, asked)
    if code == 409 and "FieldManagerConflict" in reasons_of(status):
        message = say("Somebody else has set values of %(object)s: %(text)s", object=asked.object, text=text)
        cure = say("See who else changes it, and keep one of the two from it.")
        return ClusterError("field_conflict", message, cure, needs_person=True)
    if code == 409:
        message = say("Somebody else changed %(object)s at the same moment.", object=asked.object)
        return ClusterError("conflict", message, say("Slipway tries again by itself."))
    if code == 410:
        message = say("The API server no longer has the state that was asked for.")
        return ClusterError("expired", message, say("Slipway lists everything anew by itself."))
    # An unknown field in a server-side apply is a 500 with this text (seen with 1.34), where it means 400.
    if code in {400, 413, 415, 422} or "failed to create typed patch object" in text:
        return invalid(text, status, asked)
    if code == 429:
        return throttled()
    return ClusterError(
        "server_error",
        say("The API server answers %(status)s: %(text)s", status=str(code), text=text or "-"),
        say("Slipway tries again by itself. See the API server's log if it lasts."),
    )


def unauthorized() -> ClusterError:
    return ClusterError(
        "unauthorized",
        say("The API server does not accept Slipway's credentials (401)."),
        say("Renew the credentials in the kubeconfig, or the service account that Slipway runs as."),
    )


def throttled() -> ClusterError:
    return ClusterError(
        "throttled",
        say("The API server asks Slipway to wait: it gets too many requests."),
        say("Slipway tries again by itself."),
    )


def refused(text: str, status: Mapping[str, Any], asked: Asked) -> ClusterError:
    """403 has many meanings: RBAC, a quota, a policy, a namespace that is being removed."""
    if "exceeded quota" in text:
        return ClusterError(
            "quota_exceeded",
            say("A quota of the namespace does not allow it: %(text)s", text=text),
            say("Ask an administrator of the cluster for a larger quota, or stop another service."),
            needs_person=True,
        )
    if "NamespaceTerminating" in reasons_of(status):
        return ClusterError(
            "namespace_terminating",
            say("Namespace %(namespace)s is being removed.", namespace=asked.namespace),
            say("Wait until it is gone; Slipway then makes it anew. Or choose another with SLIPWAY_NAMESPACE."),
        )
    if re.search(r"User \".*\" cannot ", text):
        message = (
            say(
                "Slipway may not %(verb)s %(resource)s in namespace %(namespace)s (403).",
                verb=asked.verb, resource=asked.resource, namespace=asked.namespace,
            )
            if asked.namespace
            else say("Slipway may not %(verb)s %(resource)s (403).", verb=asked.verb, resource=asked.resource)
        )  # fmt: skip
        cure = say("Allow it in the role of the account that Slipway uses.")
        return ClusterError("forbidden", message, cure, needs_person=True)
    return ClusterError(
        "admission_denied",
        say("A rule of the cluster does not allow %(object)s: %(text)s", object=asked.object, text=text),
        say("Change the service so that it keeps to the rule, or ask an administrator of the cluster."),
        needs_person=True,
    )


def missing(text: str, asked: Asked) -> ClusterError:
    if re.match(r'namespaces "[^"]*" not found', text):
        return ClusterError(
            "namespace_missing",
            say("The cluster has no namespace %(namespace)s.", namespace=asked.namespace),
            say("Create it, or choose another with SLIPWAY_NAMESPACE."),
        )
    if "could not find the requested resource" in text or not text:
        return ClusterError(
            "kind_missing",
            say("The cluster does not know %(resource)s.", resource=asked.resource),
            NEEDED,
            needs_person=True,
        )
    message = say("%(object)s is not in the cluster.", object=asked.object)
    return ClusterError("not_found", message, say("Slipway looks again by itself."))


def invalid(text: str, status: Mapping[str, Any], asked: Asked) -> ClusterError:
    """400 and 422: what was sent is wrong, and stays wrong until the service's document changes."""
    fields = ", ".join(dict.fromkeys(str(cause["field"]) for cause in causes_of(status) if cause.get("field")))
    message = (
        say("Kubernetes refuses %(field)s of %(object)s: %(text)s", field=fields, object=asked.object, text=text)
        if fields
        else say("Kubernetes refuses %(object)s: %(text)s", object=asked.object, text=text)
    )
    cure = say("Update the service with a value that Kubernetes accepts.")
    return ClusterError("invalid", message, cure, needs_person=True)


def causes_of(status: Mapping[str, Any]) -> list[dict[str, Any]]:
    details = status.get("details")
    causes = details.get("causes") if isinstance(details, dict) else None
    return [cause for cause in causes or () if isinstance(cause, dict)]


def reasons_of(status: Mapping[str, Any]) -> frozenset[str]:
    return frozenset(str(cause.get("reason")) for cause in causes_of(status))


def retry_after_seconds(value: str | None) -> float | None:
    """A Retry-After header in seconds; the form with a date is a proxy's and is not understood."""
    try:
        return max(0.0, float(value)) if value else None
    except ValueError:
        return None

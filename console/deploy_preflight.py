"""What the deployment forms show of a preflight: checks beside the button, manifests below the fields."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from console.access import SignedInRequest
from console.yaml_html import yaml_html
from deployments.clusters.preview import Check
from deployments.differences import Change
from deployments.models import Service
from deployments.preflight import NO_UID, ObjectChange, preflight
from deployments.spec import ServiceSpec
from deployments.spec.text import YAML, write_text

CHECK_ACCESS = "check-access"
LOOKS = {
    "ok": ("circle-check", "ok"),
    "waits": ("triangle-alert", "warn"),
    "fails": ("octagon-x", "bad"),
    "unknown": ("circle-help", "idle"),
}


@dataclass(frozen=True, slots=True)
class CheckRow:
    """One line of the summary."""

    check: Check
    icon: str
    tone: str


@dataclass(frozen=True, slots=True)
class ManifestRow:
    """One object. ``element_id`` names it in the page; ``act`` is create, change, keep or remove."""

    element_id: str
    name: str
    act: str
    word: str
    text: SafeString
    changes: tuple[Change, ...]


def preflight_context(
    request: SignedInRequest, spec: ServiceSpec | None, service: Service | None, act: str
) -> dict[str, Any]:
    """``checks``, ``manifests`` and what heads them; nothing while there is no valid document."""
    if spec is None:
        return {}
    found = preflight(spec, service, with_access=act == CHECK_ACCESS)
    manifests = [manifest_row(one) for one in found.objects]
    # What the cluster refuses outright stands above already, at what has to change.
    checks = [one for one in found.checks if (one.key, one.state) != ("cluster", "fails")]
    return {
        "checks": [CheckRow(one, *LOOKS[one.state]) for one in checks],
        "manifests": manifests,
        "changed_manifests": sum(one.act != "keep" for one in manifests),
        "may_check_access": found.needs_access,
        "names_end_later": any(NO_UID[-12:] in one.name for one in manifests),
        "has_no_place": any((one.key, one.state) == ("capacity", "fails") for one in checks),
        "waits": any(one.state == "waits" for one in found.checks),
    }


def manifest_row(one: ObjectChange) -> ManifestRow:
    words = {
        "create": _("is created"),
        "change": _("changes"),
        "keep": _("stays as it is"),
        "remove": _("is removed"),
    }
    shown = one.shown.wanted if one.shown.wanted is not None else one.shown.live
    text = write_text(dict(shown or {}), YAML)
    name = one.shown.name
    element_id = f"manifest-{name.partition('/')[0].lower()}"
    return ManifestRow(element_id, name, one.act, words[one.act], yaml_html(text.rstrip("\n")), one.changes)

"""What saving a document does to a running service, said before the click (console.md §4 "Diff"). Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from deployments.differences import Change, compare
from deployments.models import Desired, Service
from deployments.spec import ServiceSpec
from deployments.words import number


@dataclass(frozen=True, slots=True)
class Effect:
    """``kind`` is "none", "scale", "token", "restart", or "later" where nothing runs that would restart.

    ``sentences`` begin with what is restarted.
    """

    kind: str
    sentences: tuple[str, ...]
    changes: tuple[Change, ...]


def effect_of(service: Service, spec: ServiceSpec, *, token_changes: bool) -> Effect:
    """Compare a spec with what is wanted of the service now."""
    current = service.find_spec()
    changes = tuple(compare(current.document if current else service.document, spec.document))
    if token_changes:
        changes = (*changes, Change("token", "", "", is_secret=True))
    counts = {"before": service.wanted_instances, "after": spec.instances}
    if current is None or not spec.differs_only_in_instances(current):
        kind = "restart" if restarted(service, spec.instances) else "later"
        sentences = [restart_words(service, spec.instances)]
    elif counts["before"] != counts["after"]:
        kind = "scale"
        sentences = [
            _("No restart: only the number of instances changes, from %(before)s to %(after)s.")
            % {"before": number(counts["before"]), "after": number(counts["after"])}
        ]
    elif token_changes:
        kind, sentences = "token", [_("No restart: only the service token changes.")]
    else:
        return Effect("none", (_("Nothing changes yet."),), ())
    if token_changes:
        sentences.append(_("Programs that call with the present token get 401 from then on."))
    if service.desired == Desired.STOPPED:
        sentences.append(_("The service is stopped: it takes effect at the next start."))
    return Effect(kind, tuple(sentences), changes)


def restarted(service: Service, instances: int) -> int:
    """How many instances a document that wants so many replaces."""
    return 0 if service.desired == Desired.STOPPED else min(service.wanted_instances, instances)


def restart_words(service: Service, instances: int) -> str:
    """What is restarted by another document that wants so many instances."""
    count = restarted(service, instances)
    if count == 0:
        return _("No restart: no instance runs.")
    return ngettext(
        "Restarts %(count)s instance. It is replaced once the new one answers.",
        "Restarts %(count)s instances one by one. Each is replaced once a new one answers.",
        count,
    ) % {"count": number(count)}


def carry_over(current: Any, was: Any, now: Any) -> Any:
    """``current`` with the difference between two renderings of a form applied, and nothing else touched.

    So that saving an unchanged form changes nothing, though the form would spell the same service otherwise.
    """
    if was == now:
        return current
    if isinstance(current, Mapping) and isinstance(was, Mapping) and isinstance(now, Mapping):
        kept = {key: value for key, value in current.items() if key in now or key not in was}
        for key, value in now.items():
            if key not in was:
                kept[key] = value
            elif key in current:
                kept[key] = carry_over(current[key], was[key], value)
            elif was[key] != value:
                kept[key] = value
        return kept
    lists = [current, was, now]
    if all(isinstance(one, list) for one in lists) and len({len(one) for one in lists}) == 1:
        return [carry_over(*three) for three in zip(current, was, now, strict=True)]
    return now

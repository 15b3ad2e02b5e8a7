"""What a confirmation says before something is done: the consequence, with numbers (console.md §4).

Reversible acts are asked once; irreversible ones want the service's name typed.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from console.deploy_effect import restart_words
from deployments.differences import compare
from deployments.models import Instance, Revision, Service, ServiceGroup
from deployments.words import number
from inference_gateway.models import Caller, Conversation

SHOWN_CALLERS = 5


@dataclass(frozen=True, slots=True)
class Confirmation:
    """One dialog. ``field`` names what it asks for beside the yes: "typed_name", "instances", "release" or nothing."""

    action: str  # the last part of its address
    title: str
    sentences: tuple[str, ...]
    button: str
    field: str = ""
    is_danger: bool = False
    typed_name: str = ""  # what "typed_name" asks for where it is not the name that the page is about


def instances_words(count: int) -> str:
    return ngettext("%(count)s instance", "%(count)s instances", count) % {"count": number(count)}


def confirm_stop(service: Service) -> Confirmation:
    count = service.instances.count()
    ends = ngettext(
        "%(count)s instance ends once it has answered what it is answering now.",
        "%(count)s instances end once they have answered what they are answering now.",
        count,
    ) % {"count": number(count)}
    return Confirmation(
        "stop",
        _("Stop %(name)s?") % {"name": service.name},
        (ends, _("New requests are refused until you start it again. Nothing is deleted.")),
        _("Stop"),
    )


def confirm_start(service: Service) -> Confirmation:
    return Confirmation(
        "start",
        _("Start %(name)s?") % {"name": service.name},
        (_("It will run %(instances)s.") % {"instances": instances_words(service.wanted_instances)},),
        _("Start"),
    )


def confirm_restart(service: Service) -> Confirmation:
    words = instances_words(service.wanted_instances)
    return Confirmation(
        "restart",
        _("Restart %(name)s?") % {"name": service.name},
        (_("Replaces %(instances)s, one after another. Requests keep being answered.") % {"instances": words},),
        _("Restart"),
    )


def confirm_restart_instance(service: Service, instance: Instance) -> Confirmation:
    others = service.instances.filter(Instance.routable()).exclude(pk=instance.pk).count()
    ends = _("It ends once it has answered what it is answering now, and a new one is started in its place.")
    if others:
        kept = ngettext(
            "%(count)s other instance answers meanwhile.", "%(count)s other instances answer meanwhile.", others
        ) % {"count": number(others)}
    else:
        kept = _("No other instance answers: requests are refused until the new one does.")
    return Confirmation(
        f"instances/{instance.name}/restart",
        _("Restart instance %(name)s?") % {"name": instance.name},
        (ends, kept),
        _("Restart"),
    )


def confirm_scale(service: Service) -> Confirmation:
    words = instances_words(service.wanted_instances)
    return Confirmation(
        "scale",
        _("Scale %(name)s") % {"name": service.name},
        (
            _("Wanted now: %(instances)s. Running ones are not restarted; surplus ones finish first.")
            % {"instances": words},
        ),
        _("Scale"),
        field="instances",
    )


def confirm_release(service: Service, group: ServiceGroup) -> Confirmation:
    return Confirmation(
        "release",
        _("Requests of the group %(name)s") % {"name": group.name},
        (
            _("A change counts within a second. Nothing restarts, and %(name)s keeps its own address.")
            % {"name": service.name},
        ),
        _("Save"),
        field="release",
    )


def confirm_delete(service: Service) -> Confirmation:
    instances, versions = service.instances.count(), service.revisions.count()
    conversations = Conversation.objects.filter(service=service, deleted_at=None).count()
    loss = _("Ends %(instances)s and removes %(versions)s, the log, the events and the token for good.") % {
        "instances": instances_words(instances),
        "versions": ngettext("%(count)s version", "%(count)s versions", versions) % {"count": number(versions)},
    }
    kept = ngettext(
        "%(count)s conversation stays readable for whoever led it.",
        "%(count)s conversations stay readable for those who led them.",
        conversations,
    ) % {"count": number(conversations)}
    return Confirmation(
        "delete",
        _("Delete %(name)s?") % {"name": service.name},
        (loss, kept) if conversations else (loss,),
        _("Delete"),
        field="typed_name",
        is_danger=True,
    )


def confirm_rotate(service: Service) -> Confirmation:
    return Confirmation(
        "token/rotate",
        _("Rotate the token of %(name)s?") % {"name": service.name},
        (
            callers_words(service, timezone.now()),
            _("A new token is made. Every program that calls with the present one gets 401 from then on."),
            _("The present token cannot be brought back."),
        ),
        _("Rotate"),
        field="typed_name",
        is_danger=True,
    )


def confirm_rotate_group(group: ServiceGroup) -> Confirmation:
    """Who called is not kept for groups, so nobody is named."""
    breaks = _("A new token is made. Every program that calls %(path)s with the present one gets 401 from then on.")
    return Confirmation(
        "group/token/rotate",
        _("Rotate the token of the group %(name)s?") % {"name": group.name},
        (
            breaks % {"path": f"/api/predict/{group.name}"},
            _("Tokens of its members and API keys go on working."),
            _("The present token cannot be brought back."),
        ),
        _("Rotate"),
        field="typed_name",
        is_danger=True,
        typed_name=group.name,
    )


def callers_words(service: Service, now: datetime) -> str:
    """Who called with the token within a day, newest first."""
    rows = Caller.objects.filter(service=service, last_at__gte=now - timedelta(days=1))
    callers = [str(row) for row in rows[:SHOWN_CALLERS]]
    if not callers:
        return _("Nobody called with the present token in the last day.")
    names, more = ", ".join(callers), rows.count() - len(callers)
    if more <= 0:
        return _("Called in the last day by: %(names)s.") % {"names": names}
    words = ngettext(
        "Called in the last day by: %(names)s and %(count)s more.",
        "Called in the last day by: %(names)s and %(count)s more.",
        more,
    )
    return words % {"names": names, "count": number(more)}


def confirm_switch(service: Service, revision: Revision, refusal: str) -> Confirmation:
    """``refusal`` is why the cluster could not run that version now, "" where it could."""
    other = revision.number
    now = service.wanted_revision.number if service.wanted_revision else other
    differ = len(list(compare(service.document, with_instances(revision.document, service.wanted_instances))))
    fields = ngettext(
        "From r%(now)s to r%(number)s: %(count)s field differs.",
        "From r%(now)s to r%(number)s: %(count)s fields differ.",
        differ,
    ) % {"now": now, "number": other, "count": number(differ)}
    kept = _("Requests keep being answered. If r%(number)s does not start, what serves now goes on.")
    sentences = [f"{fields} {restart_words(service, service.wanted_instances)}", kept % {"number": other}]
    if refusal:
        told = _("r%(number)s cannot run here now: %(refusal)s")
        sentences = [told % {"number": other, "refusal": refusal}, sentences[0]]
    return Confirmation(
        f"versions/{other}/switch",
        _("Switch %(name)s to r%(number)s?") % {"name": service.name, "number": other},
        tuple(sentences),
        _("Switch"),
    )


def with_instances(document: dict[str, Any], instances: int) -> dict[str, Any]:
    """A version's document with the present number of instances, which switching keeps."""
    return {**document, "metadata": {**document.get("metadata", {}), "instance": instances}}


def confirm_revoke(name: str, last_used_at: datetime | None) -> Confirmation:
    """For a personal token or an access key; one that programs use wants its name typed."""
    refused = _("Every program that uses it gets 401 from then on. It cannot be brought back.")
    unused = _("It was never used. It cannot be brought back.")
    return Confirmation(
        "revoke",
        _("Revoke %(name)s?") % {"name": name},
        (_("Last used on %(day)s.") % {"day": f"{last_used_at:%Y-%m-%d}"}, refused) if last_used_at else (unused,),
        _("Revoke"),
        field="typed_name" if last_used_at else "",
        is_danger=True,
    )

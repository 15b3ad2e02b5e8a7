"""The verbs an operator has. Each writes what is *wanted*, in one transaction with its event and audit entry,
and leaves the doing to reconcile.

Repeating any verb but ``create`` returns the service unchanged. What cannot be done now raises ``Conflict``;
the REST layer answers it with 409, the pages with the sentence.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from deployments.audit import record_audit
from deployments.clusters import get_cluster
from deployments.encryption import decrypt, encrypt, new_service_token
from deployments.engines import engine_of
from deployments.group_members import find_group_for, hold_names, is_group_s, move_to_group, refuse_own_name
from deployments.hints import hint_service
from deployments.models import Desired, Revision, Service, Status, Workspace
from deployments.spec import ENGINE_LABEL, FieldError, ServiceSpec, SpecInvalid
from deployments.status import Verdict, record_event, transition
from deployments.tasks import enqueue_reconcile
from deployments.words import Sentence, join, number, say, say_plural, translated, words_of

MAX_INSTANCES = 1000


class Conflict(Exception):
    """The verb cannot be done as things stand. ``code`` is stable, the message says why and what to do."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class RevisionMissing(Exception):
    """There is no revision of that number."""


def create(workspace: Workspace, actor: User, spec: ServiceSpec, *, reason: str = "") -> Service:
    """Create a service and start it. Raises ``Conflict`` for a taken name, ``SpecInvalid`` where it can never run."""
    spec = with_engine_label(spec)
    refuse_unrunnable(spec)
    token = spec.token or new_service_token()
    waiting = waiting_words()
    try:
        with transaction.atomic():
            hold_names([spec.name, spec.group])
            if is_group_s(spec.name):
                told = _("A service group is named %(name)s, and shares its addresses. Choose another name.")
                raise Conflict("name_taken", told % {"name": spec.name})
            service = Service.objects.create(
                name=spec.name,
                group=find_group_for(workspace, spec.group, actor),
                workspace=workspace,
                created_by=actor,
                wanted_instances=spec.instances,
                token_encrypted=encrypt(token),
                reason="Creating",
                message=waiting,
                message_words=words_of(waiting),
            )
            revision = Revision.objects.create(
                service=service,
                number=1,
                document=dict(spec.document),
                author=actor,
                reason=reason or "Created",
            )
            Service.objects.filter(pk=service.pk).update(wanted_revision=revision)
            service.wanted_revision = revision
            said = say("%(person)s created %(name)s.", person=actor.get_username(), name=spec.name)
            record_event(service, Verdict(Status.CREATING, "Created", said))
            record_audit(actor, "service.create", spec.name, workspace, after=dict(spec.document))
            hint_service(service)
            enqueue_reconcile(service)
    except IntegrityError:
        if not Workspace.objects.filter(pk=workspace.pk).exists():
            message = _("Workspace %(name)s was deleted meanwhile. Choose another.")
            raise Conflict("workspace_gone", message % {"name": workspace.name}) from None
        message = _("A service named %(name)s exists already. Choose another name, or update that service.")
        raise Conflict("name_taken", message % {"name": spec.name}) from None
    return service


def update(
    service: Service,
    spec: ServiceSpec,
    actor: User,
    *,
    reason: str = "",
    base: int | None = None,
    keep_instances: bool = False,
) -> Service:
    """Want another document. Only ``metadata.instance`` changed: scales, with no new revision (eas.md §4.4).

    ``base`` is the revision number the author started from; if another came since, raises ``Conflict``
    (``edited_meanwhile``), so that no change is overwritten unseen. ``keep_instances`` is for edits that do
    not speak of instances: a scale that came since the author read the document then stays.
    """
    spec = with_engine_label(spec)
    refuse_unrunnable(spec)
    if spec.name != service.name:
        message = _("A service keeps its name: metadata.name must stay %(name)s.") % {"name": service.name}
        raise SpecInvalid([FieldError("metadata.name", "name_fixed", message)])
    with changing(service, actor, "service.update") as change:
        row = change.row
        current = row.find_spec()
        if keep_instances:
            spec = replace(spec.with_instances(row.wanted_instances), token=spec.token)
        token = spec.token or decrypt(row.token_encrypted)
        if token != decrypt(row.token_encrypted):
            change.set(token_encrypted=encrypt(token), token_made_at=timezone.now())
        if current is not None and spec.differs_only_in_instances(current):
            scale_row(change, spec.instances)
            return row
        wanted = row.wanted_revision
        if base is not None and wanted is not None and base != wanted.number:
            known = {"author": wanted.author and wanted.author.get_username(), "revision": f"r{wanted.number}"}
            if wanted.author:
                told = _("%(author)s saved %(revision)s meanwhile. Your edits are kept. Compare, then save.")
            else:
                told = _("Somebody saved %(revision)s meanwhile. Your edits are kept. Compare, then save.")
            raise Conflict("edited_meanwhile", told % known)
        last = row.revisions.order_by("-number").values_list("number", flat=True).first() or 0
        revision = Revision.objects.create(
            service=row,
            number=last + 1,
            document=dict(spec.document),
            author=actor,
            reason=reason or "Updated",
        )
        change.set(wanted_revision=revision, wanted_instances=spec.instances)
        move_to_group(row, spec.group, actor)
        change.move(Status.UPDATING, "Updating", say("Updating to r%(number)s.", number=str(revision.number)))
    return change.row


def scale(service: Service, instances: int, actor: User) -> Service:
    """Want another number of instances (0 to 1000); running ones are not restarted.

    Raises ``Conflict`` where the service's autoscaler chooses the number: it would take the change back at once.
    """
    if not 0 <= instances <= MAX_INSTANCES:
        message = _("%(field)s must be a whole number from %(least)s to %(most)s; got %(input)s.") % {
            "field": "metadata.instance", "least": number(0), "most": number(MAX_INSTANCES), "input": instances,
        }  # fmt: skip
        raise SpecInvalid([FieldError("metadata.instance", "out_of_range", message)])
    with changing(service, actor, "service.scale") as change:
        refuse_autoscaled(change.row, instances)
        scale_row(change, instances)
    return change.row


def stop(service: Service, actor: User) -> Service:
    """Want no instances, and keep everything else."""
    with changing(service, actor, "service.stop") as change:
        if change.row.desired != Desired.STOPPED:
            change.set(desired=Desired.STOPPED)
            change.force(Status.STOPPING, "Stopping", say("Stopping: instances finish what they are answering."))
    return change.row


def start(service: Service, actor: User) -> Service:
    """Want the instances of a stopped service back."""
    with changing(service, actor, "service.start") as change:
        if change.row.desired == Desired.STOPPED:
            change.set(desired=Desired.RUNNING)
            change.force(Status.STARTING, "Starting", waiting_words())
        elif change.row.status == Status.FAILED:
            change.set(restart_number=change.row.restart_number + 1)
            change.force(Status.STARTING, "Starting", say("Starting again."))
    return change.row


def restart(service: Service, actor: User) -> Service:
    """Replace every instance by a new one of the same revision, one after another."""
    with changing(service, actor, "service.restart") as change:
        row = change.row
        if row.desired == Desired.STOPPED:
            raise Conflict("stopped", _("%(name)s is stopped. Start it instead.") % {"name": row.name})
        if row.restart_number == row.settled_restart_number or row.status == Status.FAILED:
            change.set(restart_number=row.restart_number + 1)
            said = say("Restarting: instances are replaced one after another.")
            change.force(Status.UPDATING, "Restarting", said)
    return change.row


def switch_version(service: Service, number: int, actor: User) -> Service:
    """Want an earlier (or later) revision again. Raises ``RevisionMissing``."""
    with changing(service, actor, "service.switch_version") as change:
        row = change.row
        revision = row.revisions.filter(number=number).first()
        if revision is None:
            told = _("%(name)s has no version %(number)s. Versions lists those it has.")
            raise RevisionMissing(told % {"name": row.name, "number": number})
        if revision != row.wanted_revision:
            spec = ServiceSpec.parse(revision.document)
            refuse_unrunnable(spec)
            if is_autoscaled(row.spec()) and not is_autoscaled(spec) and row.wanted_instances:
                # The number that counted was the autoscaler's, and that goes.
                change.set(wanted_instances=spec.instances)
            change.set(wanted_revision=revision)
            move_to_group(row, spec.group, actor)
            change.move(Status.UPDATING, "Switching", say("Switching to r%(number)s.", number=str(number)))
    return change.row


def delete(service: Service, actor: User) -> Service:
    """Want the service gone: instances end, then the row goes. One that is gone by now is returned as it was."""
    try:
        with changing(service, actor, "service.delete", deleting_is_fine=True) as change:
            if change.row.desired != Desired.DELETED:
                change.set(desired=Desired.DELETED)
                change.force(Status.DELETING, "Deleting", say("Deleting: instances end first."))
            elif change.row.status == Status.DELETE_FAILED:
                change.force(Status.DELETING, "Deleting", say("Deleting: trying again."))
    except Conflict as conflict:
        if conflict.code != "gone":
            raise
        return service
    return change.row


def rotate_token(service: Service, actor: User) -> Service:
    """Give the service a new random token; the old one is refused from now on."""
    with changing(service, actor, "service.rotate_token") as change:
        change.set(token_encrypted=encrypt(new_service_token()), token_made_at=timezone.now())
        record_event(
            change.row,
            Verdict(
                Status(change.row.status),
                "TokenRotated",
                say("%(person)s rotated the service token.", person=actor.get_username()),
            ),
        )
    return change.row


def with_engine_label(spec: ServiceSpec) -> ServiceSpec:
    """Recognise a language-model engine by its command: its Running means a generated token (design.md)."""
    engine = engine_of(spec.document) if ENGINE_LABEL not in spec.parsed.labels else None
    if engine is None:
        return spec
    labels = {**spec.document.get("labels", {}), ENGINE_LABEL: engine}
    token = {"token": spec.token} if spec.token else {}
    return ServiceSpec.parse({**spec.document, "labels": labels, **token})


def refuse_unrunnable(spec: ServiceSpec) -> None:
    """Raise ``SpecInvalid`` with the cluster's reason where it can never run ``spec``."""
    refuse_own_name(spec)
    refusal = get_cluster().refuse(spec)
    if refusal is not None:
        text = translated(join(refusal.message, refusal.cure))
        raise SpecInvalid([FieldError(refusal.field, refusal.code, text)])


class Change:
    """One locked row and what is being changed of it; written when ``changing`` ends."""

    def __init__(self, row: Service) -> None:
        self.row = row
        self.before = summary(row)
        self.fields: dict[str, Any] = {}
        self.verdict: Verdict | None = None

    def set(self, **fields: Any) -> None:
        """Change columns; noticed as a change of what is wanted."""
        self.fields |= fields
        for name, value in fields.items():
            setattr(self.row, name, value)

    def force(self, status: Status, reason: str, message: str) -> None:
        """Say the intent, whatever the status is now."""
        self.verdict = Verdict(status, reason, message)

    def move(self, status: Status, reason: str, message: str) -> None:
        """Say the intent, unless the service is stopped: then it stays so, with the new wish noted."""
        if self.row.desired == Desired.STOPPED:
            said = join(message, say("It takes effect at the next start."))
            self.verdict = Verdict(Status(self.row.status), reason, said)
        else:
            self.verdict = Verdict(status, reason, message)


@contextmanager
def changing(service: Service, actor: User, action: str, *, deleting_is_fine: bool = False) -> Iterator[Change]:
    """Lock the row, let the body change it, then write row, event, audit entry and the call to reconcile."""
    with transaction.atomic():
        row = Service.objects.select_for_update().filter(pk=service.pk).first()
        if row is None:  # its last instance ended since the caller looked
            told = _("%(name)s has been deleted meanwhile. Create it anew.")
            raise Conflict("gone", told % {"name": service.name})
        if row.desired == Desired.DELETED and not deleting_is_fine:
            told = _("%(name)s is being deleted. Wait until it is gone, then create it anew.")
            raise Conflict("deleting", told % {"name": row.name})
        change = Change(row)
        yield change
        if not change.fields and change.verdict is None:
            return
        now = timezone.now()
        row.generation += 1
        row.updated_at, row.progress_since, row.next_check_at = now, now, now
        names = {*change.fields, "generation", "updated_at", "progress_since", "next_check_at"}
        row.save(update_fields=names)
        if change.verdict is not None:
            if (row.status, row.reason) == (change.verdict.status, change.verdict.reason):
                record_event(row, change.verdict, at=now)
            transition(row, change.verdict, at=now)
        record_audit(actor, action, row.name, row.workspace, change.before, summary(row) | changed_secrets(change))
        hint_service(row)
        enqueue_reconcile(row)


def is_autoscaled(spec: ServiceSpec) -> bool:
    """Whether the platform chooses the number of instances."""
    autoscaler = spec.parsed.autoscaler
    return autoscaler is not None and bool(autoscaler.working) and get_cluster().autoscales


def refuse_autoscaled(row: Service, instances: int) -> None:
    """Only from none and to none: while there are any, Kubernetes chooses (``rendering.scaling``)."""
    if not (row.wanted_instances and instances and is_autoscaled(row.spec())):
        return
    message = _(
        "%(name)s has an autoscaler, which chooses how many instances there are. "
        "Change its bounds in the document, or take it out."
    )
    raise Conflict("autoscaled", message % {"name": row.name})


def scale_row(change: Change, instances: int) -> None:
    if instances != change.row.wanted_instances:
        before = change.row.wanted_instances
        change.set(wanted_instances=instances)
        change.move(Status.SCALING, "Scaling", scaling_words(before, instances))


def waiting_words() -> Sentence:
    return say("Waiting for a worker. Usually under 1 s.")


def scaling_words(before: int, instances: int) -> Sentence:
    return say_plural(
        "Scaling from %(before)s to %(count)s instance.",
        "Scaling from %(before)s to %(count)s instances.",
        instances,
        before=before,
    )


def summary(row: Service) -> dict[str, Any]:
    """What the audit trail keeps of a service."""
    revision = row.wanted_revision
    return {
        "desired": str(row.desired),
        "revision": revision.number if revision else None,
        "instances": row.wanted_instances,
        "restarts": row.restart_number,
    }


def changed_secrets(change: Change) -> dict[str, Any]:
    return {"token": "changed"} if "token_encrypted" in change.fields else {}


VERBS: Mapping[str, Callable[[Service, User], Service]] = {"start": start, "stop": stop, "restart": restart}

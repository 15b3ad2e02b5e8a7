"""``Instance`` rows kept in step with what the cluster shows, and each instance asked whether it answers."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils import timezone

from deployments.addresses import direct_url
from deployments.assess import Seen
from deployments.clusters import find_passage
from deployments.clusters.base import InstanceObservation, InstancePhase
from deployments.failures import explain_trouble
from deployments.models import Instance, Service, StartStep
from deployments.spec import ServiceSpec
from deployments.stages import Stage
from deployments.timelines import (
    Over,
    Standing,
    advance,
    alike_of,
    alike_of_service,
    end_asked_at,
    first_standing,
    prune_steps,
    runs_ended,
    standing_of,
    step_rows,
    steps_left,
)
from deployments.token_probe import Answer, probe_check, probe_port, probe_token
from deployments.words import say, words_of

MAX_PROBES_AT_ONCE = 8


def restart_number(observation: InstanceObservation) -> int:
    return int(observation.restart_token or 0)


def ends_of(observation: InstanceObservation) -> int:
    """How often the instance's program has ended."""
    return runs_ended(observation.phase, observation.restart_count)


def still_answers(row: Instance | None, observation: InstanceObservation) -> bool:
    """Whether an earlier answer still counts: the same program runs, and has not been asked to end."""
    return (
        row is not None
        and row.ready_at is not None
        and observation.phase is InstancePhase.RUNNING
        and observation.is_ready is not False
        and row.started_at == observation.started_at
        and (row.port, row.base_url) == (observation.port, observation.base_url)
    )


def ready_names(service: Service, observations: Sequence[InstanceObservation]) -> frozenset[str]:
    """The instances whose earlier answer still counts, without asking any."""
    rows = {row.name: row for row in service.instances.all()}
    return frozenset(seen.name for seen in observations if still_answers(rows.get(seen.name), seen))


def look_at(
    service: Service, spec: ServiceSpec, observations: Sequence[InstanceObservation]
) -> tuple[list[Seen], bool]:
    """Ask every running instance that has not answered yet, and write the rows.

    Returns what is known, and whether any row changed.

    Probes run outside any transaction, side by side, each bounded by its own timeout.
    """
    rows = {row.name: row for row in service.instances.all()}
    running = [seen for seen in observations if seen.phase is InstancePhase.RUNNING and seen.port]
    answering = {seen.name for seen in running if still_answers(rows.get(seen.name), seen)}
    judged = {seen.name: judge(spec, seen, seen.name in answering) for seen in running}
    answers = {name: answer for name, answer in judged.items() if answer is not None}
    to_ask = [seen for seen in running if seen.name not in answers]
    if to_ask:
        with ThreadPoolExecutor(max_workers=min(len(to_ask), MAX_PROBES_AT_ONCE)) as pool:
            asked = pool.map(lambda seen: ask(spec, seen, seen.name in answering), to_ask)
            answers |= {seen.name: answer for seen, answer in zip(to_ask, asked, strict=True)}
    known = [know(rows.get(seen.name), seen, answers.get(seen.name)) for seen in observations]
    return known, write_rows(service, rows, known, alike_of(spec))


def write_observed(service: Service, observations: Sequence[InstanceObservation]) -> tuple[list[Seen], bool]:
    """The same without asking any: for instances that are to end."""
    rows = {row.name: row for row in service.instances.all()}
    known = [know(rows.get(seen.name), seen, None) for seen in observations]
    return known, write_rows(service, rows, known, alike_of_service(service))


def judge(spec: ServiceSpec, seen: InstanceObservation, has_answered: bool) -> Answer | None:
    """The verdict of a platform that runs the checks itself; None where the instance has to be asked.

    A model that has not answered yet is, once its checks pass: for a token.
    """
    if seen.is_ready is None or (seen.is_ready and spec.engine is not None and not has_answered):
        return None
    if seen.is_ready:
        return Answer(True, say("The check passes."))
    return Answer(False, say("The check does not pass yet."), Stage.CHECKING)


def ask(spec: ServiceSpec, seen: InstanceObservation, has_answered: bool) -> Answer:
    """One probe. Who has answered is only asked whether it still listens: that costs an engine nothing."""
    if has_answered:
        return probe_port(seen.host, seen.port, 2.0)
    if spec.engine is not None:
        at = seen.probe_url or seen.base_url or direct_url(seen.host, seen.port)
        return probe_token(at, find_passage(at))
    check = spec.container.startup_check or spec.container.health_check
    return probe_check(seen.host, seen.port, spec.container.port, check)


def know(row: Instance | None, seen: InstanceObservation, answer: Answer | None) -> Seen:
    ready = answer is not None and answer.ok
    ends_when_ready = row.ends_when_ready if row else 0
    crashes = 0 if ready else max(0, ends_of(seen) - ends_when_ready)
    step: str = answer.step if answer else ""
    if seen.phase is InstancePhase.BACKOFF and seen.trouble is None:
        step = say("The program ended and is started again.")
    elif seen.trouble is not None and not ready:
        step = explain_trouble(seen.trouble).what
    elif seen.step and not ready:
        step = seen.step
    seconds = answer.seconds if answer else 0.0
    return Seen(seen, ready, step, crashes, stage_of(seen, answer), seconds)


def stage_of(seen: InstanceObservation, answer: Answer | None) -> Stage:
    """How far it is, for its timeline."""
    if seen.phase in {InstancePhase.STOPPING, InstancePhase.FAILED}:
        return Stage.NONE
    if seen.phase is InstancePhase.BACKOFF:
        return Stage.AGAIN
    if seen.stage is not Stage.NONE:
        return seen.stage
    if answer is None:
        return Stage.STARTING
    return Stage.READY if answer.ok else answer.stage


def write_rows(service: Service, rows: dict[str, Instance], known: Sequence[Seen], alike: str) -> bool:
    """Write what changed and say whether anything did; most observations change and write nothing."""
    now = timezone.now()
    gone = [row for name, row in rows.items() if name not in {one.instance.name for one in known}]
    asked_at = end_asked_at(service)
    steps = [
        step
        for row in gone
        for step in step_rows(service, row.name, row.revision_number, alike, steps_left(row, asked_at, now))
    ]
    new: list[Instance] = []
    changed: list[tuple[Instance, dict[str, Any]]] = []
    for one in known:
        row = rows.get(one.instance.name)
        over, standing = moved(service, row, one, now)
        steps += step_rows(service, one.instance.name, one.instance.revision, alike, over)
        columns = columns_of(one, row) | {"stage": str(standing.stage), "stage_since": standing.since}
        same_program = row is not None and row.started_at == one.instance.started_at
        known_since = row.ready_at if row is not None and same_program else None
        columns["ready_at"] = (known_since or now) if one.ready else None
        if row is None:
            made_at = one.instance.created_at or now
            new.append(Instance(service=service, name=one.instance.name, created_at=made_at, **columns))
        elif any(getattr(row, name) != value for name, value in columns.items()):
            changed.append((row, columns))
    if not (gone or new or changed or steps):
        return False
    with transaction.atomic():
        if gone:
            Instance.objects.filter(pk__in=[row.pk for row in gone]).delete()
        for row, columns in changed:
            Instance.objects.filter(pk=row.pk).update(**columns)
        if new:
            write_new(new)
        if steps:
            StartStep.objects.bulk_create(steps)
            prune_steps(service.pk)
    return bool(gone or new or changed)


def write_new(instances: Sequence[Instance]) -> None:
    """In one statement; a row of the same name that came meanwhile is as these are then."""
    columns = [field.name for field in Instance._meta.concrete_fields if field.name not in {"id", "name"}]
    Instance.objects.bulk_create(instances, update_conflicts=True, unique_fields=["name"], update_fields=columns)


def moved(service: Service, row: Instance | None, one: Seen, now: datetime) -> tuple[list[Over], Standing]:
    """Where the instance is on its way now, and the steps that are over."""
    was = standing_of(row) if row is not None else None
    over: list[Over] = []
    if was is None:
        over, was = first_standing(one.instance, service.progress_since, now)
    more, standing = advance(was, one, service.progress_since, now)
    return [*over, *more], standing


def columns_of(one: Seen, row: Instance | None) -> dict[str, Any]:
    seen, end = one.instance, one.instance.last_exit
    return {
        "revision_number": seen.revision,
        "restart_number": restart_number(seen),
        "phase": str(seen.phase),
        "host": seen.host,
        "port": seen.port,
        "base_url": seen.base_url,
        "node": seen.node,
        "gpus": seen.gpus,
        "started_at": seen.started_at,
        "step": one.step[:300],
        "step_words": words_of(one.step),
        "restart_count": seen.restart_count,
        "ends_when_ready": ends_of(seen) if one.ready else (row.ends_when_ready if row else 0),
        "last_exit_code": end.exit_code if end else None,
        "last_exit_reason": end.reason if end else "",
        "last_exit_message": end.message if end else "",
        "last_exit_at": end.finished_at if end else None,
    }

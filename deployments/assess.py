"""What an observation means: one pure function from what is wanted and seen to a verdict, for every cluster."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from deployments.clusters.base import InstanceObservation, InstancePhase, ProgramExit, Trouble
from deployments.failures import (
    CAUSES,
    TROUBLE_REASONS,
    Cause,
    Program,
    explain_end,
    explain_silence,
    explain_trouble,
)
from deployments.failures.causes import ends_words
from deployments.models import Desired, Status
from deployments.stages import Stage
from deployments.status import Verdict
from deployments.words import Sentence, join, say, say_plural

NOTHING_KNOWN = Program()
#: Programs that ended this often since they last answered are a crash loop (the third start took no cure).
CRASHES_ARE_A_LOOP = 3
#: The longest a program may run without answering, where its startup check gives no other time.
STARTUP_SECONDS = 600.0
#: What a platform holds against an instance is told as a trouble only when it lasts: an old instance that ends frees
#: its GPU a moment later, a claim is bound once its volume is found, and what stands may be about the wish before.
TELL_AFTER = timedelta(seconds=5)
#: The kubelet's wait after the third end in ten minutes.
HELD_BACK = timedelta(seconds=40)
#: A platform that runs the checks itself ends the program by their rules; only where it does not is it told here.
PLATFORM_GRACE_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Seen:
    """One instance with reconcile's knowledge of whether it answers."""

    instance: InstanceObservation
    ready: bool
    step: str = ""  # how far it is, in a sentence
    crashes: int = 0  # ends since it last answered
    stage: Stage = Stage.NONE
    #: How long the request took that it answered well.
    answer_seconds: float = 0.0

    @property
    def is_stopping(self) -> bool:
        return self.instance.phase is InstancePhase.STOPPING


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the row wants, and the status it has now."""

    desired: Desired
    instances: int
    revision: int
    restart_token: str
    status: Status
    reason: str
    progress_since: datetime
    startup_seconds: float = STARTUP_SECONDS
    serving_revision: int | None = None
    program: Program = NOTHING_KNOWN
    #: Of the service as a whole: no instance can be made.
    trouble: Trouble | None = None


def assess(wanted: Wanted, seen: Sequence[Seen], now: datetime) -> Verdict:
    """Decide a service's status. Deletion is not decided here: a row that may go has no status left."""
    if wanted.desired == Desired.STOPPED or wanted.instances == 0:
        return assess_ending(wanted, seen)
    current = [one for one in seen if is_current(wanted, one) and not one.is_stopping]
    others = [one for one in seen if not is_current(wanted, one)]
    answering = sum(one.ready for one in current)
    serving_others = sum(one.ready and not one.is_stopping for one in others)
    if answering >= wanted.instances and not any(not one.is_stopping for one in others):
        return Verdict(Status.RUNNING, "RUNNING", running_words(answering, wanted.instances))
    failure = find_failure(wanted, [one for one in current if not one.ready], now)
    if failure and not answering and not serving_others:
        return failure
    if failure and serving_others and not answering:
        return halted(wanted, failure)
    waits = find_waiting(wanted, [one for one in current if not one.ready], now)
    return assess_motion(wanted, current, answering, serving_others, waits)


def is_current(wanted: Wanted, one: Seen) -> bool:
    return one.instance.revision == wanted.revision and one.instance.restart_token == wanted.restart_token


def running_words(answering: int, instances: int) -> Sentence:
    """How many answer (console.md §7, "running" and "degraded")."""
    sentence = answering_words(answering, instances)
    return join(say("Running."), sentence) if answering >= instances else sentence


def answering_words(answering: int, instances: int) -> Sentence:
    if instances == 1:
        return say("1 of 1 instance answers.") if answering else say("0 of 1 instance answer.")
    return say_plural(
        "%(count)s of %(instances)s instances answers.",
        "%(count)s of %(instances)s instances answer.",
        answering,
        instances=instances,
    )


def degraded_words(wanted: Wanted, answering: int, waiting: Sequence[Seen]) -> Sentence:
    """How many answer, and what the others do (console.md §7, "degraded")."""
    step = next((one.step for one in waiting if one.instance.trouble is not None and one.step), "")
    if step:
        return join(answering_words(answering, wanted.instances), step)
    again = sum(one.stage is Stage.AGAIN or one.crashes > 0 for one in waiting)
    rest = (
        say_plural("%(count)s is restarting.", "%(count)s are restarting.", again)
        if again
        else say_plural("%(count)s is starting.", "%(count)s are starting.", wanted.instances - answering)
    )
    return join(answering_words(answering, wanted.instances), rest)


def new_words(new: int, instances: int) -> Sentence:
    if instances == 1:
        return say("1 of 1 instance is new.") if new else say("0 of 1 instance are new.")
    return say_plural(
        "%(count)s of %(instances)s instances is new.",
        "%(count)s of %(instances)s instances are new.",
        new,
        instances=instances,
    )


def assess_ending(wanted: Wanted, seen: Sequence[Seen]) -> Verdict:
    if seen:
        message = say_plural(
            "Stopping: %(count)s instance finishes what is being answered.",
            "Stopping: %(count)s instances finish what is being answered.",
            len(seen),
        )
        return Verdict(Status.STOPPING, "Stopping", message)
    if wanted.desired == Desired.STOPPED:
        return Verdict(Status.STOPPED, "Stopped", say("Stopped. Start it to serve again."))
    message = say("Stopped: scaled to 0 instances. Scale to 1 or more to serve.")
    return Verdict(Status.STOPPED, "ScaledToZero", message)


def assess_motion(
    wanted: Wanted, current: Sequence[Seen], answering: int, serving_others: int, waits: Verdict | None
) -> Verdict:
    """Nothing failed for good, and not all is as wanted: say which motion this is, and its step.

    ``waits`` is what the motion waits for, where that has a cause: the motion stays, with this reason and cure.
    """
    waiting = [one for one in current if not one.ready]
    step = waits.message if waits else step_of(waiting) or say("Replacing instances one after another.")
    if serving_others or (wanted.status == Status.UPDATING and answering < wanted.instances):
        is_updating = wanted.status == Status.UPDATING and wanted.reason not in TROUBLE_REASONS
        reason = wanted.reason if is_updating else "Updating"
        return moving(Status.UPDATING, reason, join(new_words(answering, wanted.instances), step), waits)
    if wanted.status == Status.SCALING:
        return moving(Status.SCALING, "Scaling", join(answering_words(answering, wanted.instances), step), waits)
    if answering:
        return Verdict(Status.RUNNING, "RUNNING", degraded_words(wanted, answering, waiting))
    if waits is None and not current and wanted.status in {Status.CREATING, Status.STARTING}:
        return Verdict(wanted.status, wanted.reason, say("Starting instances."))
    return moving(Status.WAITING, "Waiting", step if waits or waiting else say("Starting instances."), waits)


def step_of(waiting: Sequence[Seen]) -> str:
    """The step that says most: one in trouble before one that only takes its time."""
    first = sorted(waiting, key=lambda one: one.instance.trouble is None)
    return next((one.step for one in first if one.step), say("Starting instances.") if waiting else "")


def moving(status: Status, reason: str, message: str, waits: Verdict | None) -> Verdict:
    return replace(waits, status=status, message=message) if waits else Verdict(status, reason, message)


def find_waiting(wanted: Wanted, unready: Sequence[Seen], now: datetime) -> Verdict | None:
    """What ends by itself and has lasted long enough to be told with its cure; an instance's before the service's."""
    for one in unready:
        trouble = one.instance.trouble
        if trouble is not None and trouble.is_waiting and has_lasted(trouble, wanted.progress_since, now):
            return troubled(trouble, one)
    trouble = wanted.trouble
    if trouble is not None and trouble.is_waiting and has_lasted(trouble, wanted.progress_since, now):
        return troubled(trouble, None)
    return None


def told_at(trouble: Trouble, wish_at: datetime) -> datetime | None:
    """From when on it counts; None: it has no time of its own, and counts at once.

    One that needs a person says that this wish fails, so that it counts no earlier than after the wish.
    """
    if trouble.since is None:
        return None
    return (trouble.since if trouble.is_waiting else max(trouble.since, wish_at)) + TELL_AFTER


def has_lasted(trouble: Trouble, wish_at: datetime, now: datetime) -> bool:
    at = told_at(trouble, wish_at)
    return at is None or at <= now


def troubled(trouble: Trouble, one: Seen | None) -> Verdict:
    """The trouble of an instance, or of the service as a whole, as a failure."""
    cause = explain_trouble(trouble)
    reason = CAUSES[trouble.cause].reason if trouble.cause in CAUSES else "FailedCreate"
    if one is not None:
        return failed(reason, cause.what, cause, one)
    return Verdict(Status.FAILED, reason, cause.what, cause.cure, cause=cause)


def find_failure(wanted: Wanted, unready: Sequence[Seen], now: datetime) -> Verdict | None:
    """The first instance that will not cure itself, said with cause and cure."""
    for one in unready:
        instance, end = one.instance, one.instance.last_exit
        trouble = instance.trouble
        if trouble is not None and not trouble.is_waiting and has_lasted(trouble, wanted.progress_since, now):
            return troubled(trouble, one)
        if end is not None and is_over(one, end):
            return ended_for_good(one, wanted.program)
        since = max(filter(None, (instance.started_at, wanted.progress_since)))
        waited = (now - since).total_seconds()
        allowed = max(wanted.startup_seconds, instance.startup_seconds)
        allowed += PLATFORM_GRACE_SECONDS if instance.is_ready is False else 0
        if instance.phase is InstancePhase.RUNNING and waited > allowed:
            cause = explain_silence(one.stage, waited, wanted.program, one.step)
            return failed("NeverReady", cause.what, cause, one)
    trouble = wanted.trouble
    if trouble is not None and not trouble.is_waiting and has_lasted(trouble, wanted.progress_since, now):
        return troubled(trouble, None)
    return None


def is_held_back(one: Seen) -> bool:
    """Whether the platform waits long before the next start: it ended too often, even if it answered in between."""
    end, at = one.instance.last_exit, one.instance.retry_at
    return (
        one.instance.phase is InstancePhase.BACKOFF
        and end is not None
        and at is not None
        and (at - end.finished_at >= HELD_BACK)
    )


def is_over(one: Seen, end: ProgramExit) -> bool:
    """Whether the last end is one that the next start will not cure."""
    if one.instance.phase is InstancePhase.FAILED or one.crashes >= CRASHES_ARE_A_LOOP or is_held_back(one):
        return True
    if end.cause == "ProbeFails":  # it had all the time that its startup check allows
        return end.values.get("kind") == "startup" and one.crashes > 0
    never_began = end.reason == "StartError" and end.cause != "ContainerNotCreated"
    return never_began and one.instance.phase is not InstancePhase.RUNNING


def ended_for_good(one: Seen, program: Program) -> Verdict:
    end = one.instance.last_exit
    assert end is not None
    cause = explain_end(one.instance, program)
    if end.reason == "StartError":
        return failed("StartError", cause.what, cause, one)
    if end.reason == "OOMKilled":
        return failed("OOMKilled", cause.what, cause, one)
    # A kubelet may note a start after the end of a program that lives for less than a second.
    lived = max(0.0, (end.finished_at - end.started_at).total_seconds()) if end.started_at else None
    times = one.instance.restart_count + 1 if is_held_back(one) else max(one.crashes, 1)
    ends = ends_words(times, end.exit_code, lived)
    return failed("CrashLoopBackOff", join(cause.what, ends), cause, one)


def failed(reason: str, message: Sentence, cause: Cause, one: Seen) -> Verdict:
    return Verdict(
        Status.FAILED,
        reason,
        message,
        cause.cure,
        instance=one.instance.name,
        log_tail=one.instance.log_tail,
        cause=cause,
        times=max(one.crashes, 1),
    )


def halted(wanted: Wanted, failure: Verdict) -> Verdict:
    """A failing update never takes down what serves: it halts, and says so (eas.md §4.5)."""
    new = f"r{wanted.revision}"
    if wanted.serving_revision:
        old = f"r{wanted.serving_revision}"
        said = say("%(new)s does not start; %(old)s keeps serving. No request was cut.", new=new, old=old)
    else:
        said = say("%(new)s does not start; the revision before keeps serving. No request was cut.", new=new)
    return replace(
        failure,
        status=Status.RUNNING,
        reason="UpdateHalted",
        message=join(said, failure.message),
        cure=join(failure.cure, say("Or switch back under Versions.")),
    )

"""What an observation means: one pure function from what is wanted and seen to a verdict, for every cluster."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from deployments.clusters.base import InstanceObservation, InstancePhase
from deployments.models import Desired, Status
from deployments.status import Verdict

#: Programs that ended this often since they last answered are a crash loop (the third start took no cure).
CRASHES_ARE_A_LOOP = 3
#: The longest a program may run without answering, where its startup check gives no other time.
STARTUP_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Seen:
    """One instance with reconcile's knowledge of whether it answers."""

    instance: InstanceObservation
    ready: bool
    step: str = ""  # how far it is, in a sentence
    crashes: int = 0  # ends since it last answered

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
    return assess_motion(wanted, current, answering, serving_others)


def is_current(wanted: Wanted, one: Seen) -> bool:
    return one.instance.revision == wanted.revision and one.instance.restart_token == wanted.restart_token


def running_words(answering: int, instances: int) -> str:
    """How many answer (console.md §7, "running" and "degraded")."""
    sentence = answering_words(answering, instances)
    return f"Running. {sentence}" if answering >= instances else sentence


def answering_words(answering: int, instances: int) -> str:
    noun, verb = "instance" if instances == 1 else "instances", "answers" if answering == 1 else "answer"
    return f"{answering} of {instances} {noun} {verb}."


def new_words(new: int, instances: int) -> str:
    return f"{new} of {instances} {'instance' if instances == 1 else 'instances'} {'is' if new == 1 else 'are'} new."


def assess_ending(wanted: Wanted, seen: Sequence[Seen]) -> Verdict:
    if seen:
        who, verb = ("1 instance", "finishes") if len(seen) == 1 else (f"{len(seen)} instances", "finish")
        return Verdict(Status.STOPPING, "Stopping", f"Stopping: {who} {verb} what is being answered.")
    if wanted.desired == Desired.STOPPED:
        return Verdict(Status.STOPPED, "Stopped", "Stopped. Start it to serve again.")
    return Verdict(Status.STOPPED, "ScaledToZero", "Stopped: scaled to 0 instances. Scale to 1 or more to serve.")


def assess_motion(wanted: Wanted, current: Sequence[Seen], answering: int, serving_others: int) -> Verdict:
    """Nothing failed for good, and not all is as wanted: say which motion this is, and its step."""
    waiting = [one for one in current if not one.ready]
    step = waiting[0].step if waiting else "Replacing instances one after another."
    if serving_others or (wanted.status == Status.UPDATING and answering < wanted.instances):
        reason = wanted.reason if wanted.status == Status.UPDATING else "Updating"
        return Verdict(Status.UPDATING, reason, f"{new_words(answering, wanted.instances)} {step}".strip())
    if wanted.status == Status.SCALING:
        return Verdict(Status.SCALING, "Scaling", f"{answering_words(answering, wanted.instances)} {step}".strip())
    if answering:
        return Verdict(Status.RUNNING, "RUNNING", running_words(answering, wanted.instances))
    if not current and wanted.status in {Status.CREATING, Status.STARTING}:
        return Verdict(wanted.status, wanted.reason, "Starting instances.")
    return Verdict(Status.WAITING, "Waiting", step or "Starting instances.")


def find_failure(wanted: Wanted, unready: Sequence[Seen], now: datetime) -> Verdict | None:
    """The first instance that will not cure itself, said with cause and cure."""
    for one in unready:
        instance, end = one.instance, one.instance.last_exit
        if end is not None and end.reason == "StartError":
            return failed("StartError", end.message, "Correct the service, then update it.", one)
        if end is not None and (instance.phase is InstancePhase.FAILED or one.crashes >= CRASHES_ARE_A_LOOP):
            return explain_end(one)
        since = max(filter(None, (instance.started_at, wanted.progress_since)))
        waited = (now - since).total_seconds()
        if instance.phase is InstancePhase.RUNNING and waited > wanted.startup_seconds:
            return failed(
                "NeverReady",
                f"The program runs for {waited / 60:.0f} min and does not answer. Its last step: {one.step}",
                "Let it listen on $PORT, or give it more time with startup_check.",
                one,
            )
    return None


def explain_end(one: Seen) -> Verdict:
    end = one.instance.last_exit
    assert end is not None
    if end.reason == "OOMKilled":
        return failed(
            "OOMKilled",
            f"Out of memory: {end.message}",
            "Raise metadata.memory, or use a smaller model.",
            one,
        )
    lived = f", {(end.finished_at - end.started_at).total_seconds():.0f} s after start" if end.started_at else ""
    last = next((line for line in reversed(one.instance.log_tail) if line.strip()), "")
    how = f"with code {end.exit_code}" if end.exit_code >= 0 else f"by signal {-end.exit_code}"
    times = max(one.crashes, 1)
    sentence = f"The program exited {times} {'time' if times == 1 else 'times'}, the last {how}{lived}."
    if last:
        sentence += f" Its last line: {last.strip()[:300]}"
    return failed("CrashLoopBackOff", sentence, "Read the log, correct the command or its settings, then update.", one)


def failed(code: str, message: str, cure: str, one: Seen) -> Verdict:
    return Verdict(Status.FAILED, code, message, cure, one.instance.name, one.instance.log_tail)


def halted(wanted: Wanted, failure: Verdict) -> Verdict:
    """A failing update never takes down what serves: it halts, and says so (eas.md §4.5)."""
    old = f"r{wanted.serving_revision}" if wanted.serving_revision else "The revision before"
    return Verdict(
        Status.RUNNING,
        "UpdateHalted",
        f"r{wanted.revision} does not start; {old} keeps serving. {failure.message}",
        f"{failure.cure} Or switch back under Versions.",
        failure.instance,
        failure.log_tail,
    )

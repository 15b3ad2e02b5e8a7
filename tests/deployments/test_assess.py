"""What an observation means, case by case."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from deployments.assess import Seen, Wanted, assess
from deployments.clusters.base import InstanceObservation, InstancePhase, ProgramExit, Trouble
from deployments.failures import explain_trouble
from deployments.models import Desired, Status

NOW = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)


def wanted(**changes: Any) -> Wanted:
    values: dict[str, Any] = {
        "desired": Desired.RUNNING, "instances": 1, "revision": 1, "restart_token": "0",
        "status": Status.CREATING, "reason": "Creating", "progress_since": NOW - timedelta(seconds=5),
    }  # fmt: skip
    return Wanted(**(values | changes))


def seen(name: str = "a", *, ready: bool = False, crashes: int = 0, step: str = "", **changes: Any) -> Seen:
    values: dict[str, Any] = {
        "name": name, "revision": 1, "phase": InstancePhase.RUNNING, "restart_token": "0",
        "started_at": NOW - timedelta(seconds=3),
    }  # fmt: skip
    return Seen(InstanceObservation(**(values | changes)), ready, step, crashes)


def ended(reason: str = "Error", code: int = 1, message: str = "") -> ProgramExit:
    return ProgramExit(code, reason, message, NOW - timedelta(seconds=4), NOW)


def start_error(cause: str, **values: str | int) -> ProgramExit:
    return ProgramExit(127, "StartError", "", None, NOW, cause, values)


def test_nothing_there_yet_is_still_creating() -> None:
    assert assess(wanted(), [], NOW).status == Status.CREATING


def test_an_instance_that_does_not_answer_is_waited_for_with_its_step() -> None:
    verdict = assess(wanted(), [seen(step="Loading weights.")], NOW)
    assert (verdict.status, verdict.message) == (Status.WAITING, "Loading weights.")


def test_running_once_it_answers() -> None:
    verdict = assess(wanted(), [seen(ready=True)], NOW)
    assert (verdict.status, verdict.reason) == (Status.RUNNING, "RUNNING")


def test_one_of_three_answering_is_running_and_says_how_many() -> None:
    verdict = assess(wanted(instances=3, status=Status.WAITING), [seen(ready=True), seen("b"), seen("c")], NOW)
    assert (verdict.status, verdict.message) == (Status.RUNNING, "1 of 3 instances answers. 2 are starting.")


@pytest.mark.parametrize(
    ("ready", "of", "words"),
    [(1, 1, "Running. 1 of 1 instance answers."), (2, 2, "Running. 2 of 2 instances answer.")],
)
def test_one_instance_is_not_spoken_of_as_many(ready: int, of: int, words: str) -> None:
    instances = [seen(name, ready=True) for name in "ab"[:ready]]
    assert assess(wanted(instances=of, status=Status.WAITING), instances, NOW).message == words


def test_an_answer_of_the_old_revision_does_not_make_the_new_one_running() -> None:
    verdict = assess(wanted(revision=2, status=Status.UPDATING), [seen(ready=True), seen("b", revision=2)], NOW)
    assert verdict.status == Status.UPDATING


def test_an_update_is_done_when_only_stopping_old_ones_are_left() -> None:
    old = seen(phase=InstancePhase.STOPPING)
    new = seen("b", revision=2, ready=True)
    assert assess(wanted(revision=2, status=Status.UPDATING), [old, new], NOW).status == Status.RUNNING


def test_a_crash_loop_fails_with_the_cause_that_its_log_names() -> None:
    crashing = seen(
        phase=InstancePhase.BACKOFF,
        crashes=3,
        last_exit=ended(code=2),
        log_tail=("usage", "unknown flag --x"),
    )
    verdict = assess(wanted(status=Status.WAITING), [crashing], NOW)
    assert (verdict.status, verdict.reason) == (Status.FAILED, "CrashLoopBackOff")
    assert verdict.message == (
        "The program does not know the flag --x. It exited 3 times, the last 4.0 s after start. "
        "The last exit code was 2."
    )
    assert verdict.cure
    assert verdict.cause is not None
    assert (verdict.cause.code, verdict.times) == ("UnknownFlag", 3)


def test_what_keeps_one_of_three_from_answering_is_said() -> None:
    crashing = seen("b", phase=InstancePhase.BACKOFF, crashes=2, last_exit=ended())
    verdict = assess(wanted(instances=3, status=Status.RUNNING), [seen(ready=True), crashing, seen("c")], NOW)
    assert verdict.message == "1 of 3 instances answers. 1 is restarting."


def test_two_crashes_are_not_yet_a_loop() -> None:
    crashing = seen(phase=InstancePhase.BACKOFF, crashes=2, last_exit=ended())
    assert assess(wanted(status=Status.WAITING), [crashing], NOW).status == Status.WAITING


def test_a_program_that_will_not_be_started_again_fails_at_once() -> None:
    dead = seen(phase=InstancePhase.FAILED, crashes=1, last_exit=ended())
    assert assess(wanted(), [dead], NOW).status == Status.FAILED


def test_what_never_began_fails_with_the_reason() -> None:
    never = seen(phase=InstancePhase.BACKOFF, crashes=1, last_exit=start_error("ProgramMissing", program="x"))
    verdict = assess(wanted(), [never], NOW)
    assert (verdict.status, verdict.reason, verdict.message) == (
        Status.FAILED,
        "StartError",
        "The program x was not found.",
    )


def test_out_of_memory_has_its_own_code() -> None:
    dead = seen(phase=InstancePhase.BACKOFF, crashes=3, last_exit=ended("OOMKilled", -9, "needs 3 GiB"))
    assert assess(wanted(), [dead], NOW).reason == "OOMKilled"


def test_silence_for_too_long_fails() -> None:
    silent = seen(started_at=NOW - timedelta(hours=1), step="Starting the program.")
    verdict = assess(wanted(progress_since=NOW - timedelta(hours=1)), [silent], NOW)
    assert (verdict.status, verdict.reason) == (Status.FAILED, "NeverReady")


def test_a_failing_update_halts_while_the_old_one_serves() -> None:
    crashing = seen("b", revision=2, phase=InstancePhase.BACKOFF, crashes=4, last_exit=ended())
    verdict = assess(wanted(revision=2, status=Status.UPDATING, serving_revision=1), [seen(ready=True), crashing], NOW)
    assert (verdict.status, verdict.reason) == (Status.RUNNING, "UpdateHalted")
    assert "r1 keeps serving" in verdict.message


def test_failed_recovers_when_it_answers_after_all() -> None:
    assert assess(wanted(status=Status.FAILED), [seen(ready=True)], NOW).status == Status.RUNNING


def test_running_goes_back_to_waiting_when_nobody_answers() -> None:
    assert assess(wanted(status=Status.RUNNING), [seen()], NOW).status == Status.WAITING


def test_scaling_lasts_until_as_many_answer() -> None:
    up = wanted(status=Status.SCALING, instances=2)
    assert assess(up, [seen(ready=True), seen("b")], NOW).status == Status.SCALING
    assert assess(up, [seen(ready=True), seen("b", ready=True)], NOW).status == Status.RUNNING


def test_stopping_until_the_last_one_is_gone() -> None:
    stop = wanted(desired=Desired.STOPPED, status=Status.STOPPING)
    assert assess(stop, [seen(phase=InstancePhase.STOPPING)], NOW).status == Status.STOPPING
    assert assess(stop, [], NOW).status == Status.STOPPED


def test_zero_instances_are_stopped_and_say_why() -> None:
    verdict = assess(wanted(instances=0, status=Status.SCALING), [], NOW)
    assert (verdict.status, verdict.reason) == (Status.STOPPED, "ScaledToZero")


def test_a_restart_counts_only_instances_of_the_new_restart() -> None:
    again = wanted(restart_token="1", status=Status.UPDATING, reason="Restarting")
    assert assess(again, [seen(ready=True), seen("b", restart_token="1")], NOW).status == Status.UPDATING
    done = [seen(phase=InstancePhase.STOPPING), seen("b", restart_token="1", ready=True)]
    assert assess(again, done, NOW).status == Status.RUNNING


# Troubles: what a platform knows before a program runs

SHORT = Trouble("GpuShort", {"need": 2, "free": 1, "total": 4, "most": 1, "largest": 2}, NOW - timedelta(minutes=1),
                is_waiting=True)  # fmt: skip
NO_TAG = Trouble("ImageNotFound", {"image": "chat-llm:3.9"}, NOW - timedelta(seconds=5))


def stuck(trouble: Trouble, name: str = "b", **changes: Any) -> Seen:
    phase = changes.pop("phase", InstancePhase.PENDING)
    step = str(explain_trouble(trouble).what)
    return seen(name, phase=phase, started_at=None, trouble=trouble, step=step, **changes)


def test_what_needs_a_person_fails_with_its_cure() -> None:
    verdict = assess(wanted(), [stuck(NO_TAG)], NOW)
    assert (verdict.status, verdict.reason) == (Status.FAILED, "ImagePullBackOff")
    assert verdict.message == "chat-llm:3.9 cannot be pulled: no such tag."
    assert verdict.cure == "Correct the tag."
    assert verdict.cause is not None
    assert verdict.cause.fix is not None
    assert verdict.cause.fix.field == "containers[0].image"


def test_what_ends_by_itself_is_waited_for_with_its_numbers() -> None:
    verdict = assess(wanted(), [stuck(SHORT)], NOW)
    assert (verdict.status, verdict.reason) == (Status.WAITING, "Unschedulable")
    assert verdict.message == "Needs 2 GPUs; 1 of 4 is free."
    assert verdict.cure == "Starts by itself when 2 are free, or use 1."


def test_a_wait_that_has_only_begun_is_a_step_and_no_trouble() -> None:
    young = replace(SHORT, since=NOW - timedelta(seconds=1))
    verdict = assess(wanted(), [stuck(young)], NOW)
    assert (verdict.status, verdict.reason, verdict.cure) == (Status.WAITING, "Waiting", "")
    assert verdict.message == "Needs 2 GPUs; 1 of 4 is free."


def test_what_may_pass_in_a_moment_is_no_failure_yet() -> None:
    unbound = Trouble("NoVolume", {"claim": "weights", "size": "1Gi"}, NOW - timedelta(seconds=2))
    verdict = assess(wanted(), [stuck(unbound)], NOW)
    assert (verdict.status, verdict.reason, verdict.cure) == (Status.WAITING, "Waiting", "")
    later = assess(wanted(), [stuck(unbound)], NOW + timedelta(seconds=3))
    assert (later.status, later.reason) == (Status.FAILED, "VolumePending")


def test_what_stood_against_the_wish_before_fails_this_one_only_if_it_lasts() -> None:
    switched_at = NOW - timedelta(seconds=1)
    switching = wanted(revision=3, status=Status.UPDATING, reason="Updating", progress_since=switched_at)
    stale = replace(NO_TAG, since=NOW - timedelta(minutes=1))
    there = [seen(ready=True), stuck(stale, revision=3)]
    assert assess(switching, there, NOW).status == Status.UPDATING
    assert assess(switching, there, NOW + timedelta(seconds=4)).reason == "UpdateHalted"


def test_a_failing_update_halts_while_the_old_revision_serves() -> None:
    old = seen(ready=True)
    verdict = assess(wanted(revision=2, status=Status.UPDATING), [old, stuck(NO_TAG, revision=2)], NOW)
    assert (verdict.status, verdict.reason) == (Status.RUNNING, "UpdateHalted")
    assert "chat-llm:3.9 cannot be pulled" in verdict.message


def test_an_update_that_waits_for_room_stays_one_and_says_why() -> None:
    old = seen(ready=True)
    waiting = wanted(revision=2, status=Status.UPDATING, reason="Updating")
    verdict = assess(waiting, [old, stuck(SHORT, revision=2)], NOW)
    assert (verdict.status, verdict.reason) == (Status.UPDATING, "Unschedulable")
    assert verdict.message == "0 of 1 instance are new. Needs 2 GPUs; 1 of 4 is free."
    assert verdict.cure


def test_an_update_that_goes_on_forgets_what_it_waited_for() -> None:
    waiting = wanted(revision=2, status=Status.UPDATING, reason="Unschedulable")
    verdict = assess(waiting, [seen(ready=True), seen("b", revision=2)], NOW)
    assert (verdict.status, verdict.reason) == (Status.UPDATING, "Updating")


def test_a_service_that_may_have_no_instance_fails_with_the_reason() -> None:
    quota = Trouble("QuotaExceeded", {"kind": "gpu", "quota": "team-a", "left": "1", "hard": "1", "need": "2"})
    verdict = assess(wanted(trouble=quota), [], NOW)
    assert (verdict.status, verdict.reason) == (Status.FAILED, "FailedCreate")
    assert verdict.message == "The quota team-a has 1 of 1 GPUs left; this needs 2."


def test_a_trouble_of_the_service_is_not_told_while_it_runs() -> None:
    verdict = assess(wanted(trouble=NO_TAG), [seen(ready=True)], NOW)
    assert verdict.status == Status.RUNNING


def test_an_instance_s_own_wait_is_told_before_the_service_s() -> None:
    slow = Trouble("NoProgress", {}, NOW - timedelta(minutes=1), is_waiting=True)
    assert assess(wanted(trouble=slow), [stuck(SHORT)], NOW).cause == explain_trouble(SHORT)


def test_one_that_answers_keeps_the_service_running_and_says_what_the_other_waits_for() -> None:
    verdict = assess(wanted(instances=2, status=Status.RUNNING), [seen(ready=True), stuck(SHORT)], NOW)
    assert (verdict.status, verdict.reason) == (Status.RUNNING, "RUNNING")
    assert verdict.message == "1 of 2 instances answers. Needs 2 GPUs; 1 of 4 is free."


def test_scaling_up_without_room_says_so_and_serves_on() -> None:
    verdict = assess(wanted(instances=2, status=Status.SCALING), [seen(ready=True), stuck(SHORT)], NOW)
    assert (verdict.status, verdict.reason) == (Status.SCALING, "Unschedulable")


def check_failed(kind: str) -> ProgramExit:
    end = ended(code=-9)
    return replace(end, cause="ProbeFails", values={"kind": kind, "path": "/health", "status": "404", "port": "8000"})


def test_a_startup_check_that_never_passed_fails_at_its_first_end_and_stays_failed_in_the_next_try() -> None:
    for phase in (InstancePhase.BACKOFF, InstancePhase.RUNNING):
        trying = seen(phase=phase, crashes=1, last_exit=check_failed("startup"), is_ready=False)
        verdict = assess(wanted(status=Status.WAITING), [trying], NOW)
        assert (verdict.status, verdict.reason) == (Status.FAILED, "CrashLoopBackOff")
        assert verdict.message.startswith("The startup check of /health was answered 404")


def test_a_liveness_check_that_fails_once_is_only_started_again() -> None:
    trying = seen(crashes=1, last_exit=check_failed("liveness"), is_ready=False)
    assert assess(wanted(status=Status.WAITING), [trying], NOW).status == Status.WAITING


def test_a_platform_that_gives_large_weights_more_time_is_waited_for() -> None:
    loading = seen(started_at=NOW - timedelta(seconds=640), is_ready=False, startup_seconds=1800.0)
    since = NOW - timedelta(seconds=650)
    assert assess(wanted(progress_since=since), [loading], NOW).status == Status.WAITING


def test_the_platform_s_own_startup_check_comes_before_ours() -> None:
    late = seen(started_at=NOW - timedelta(seconds=610), is_ready=False)
    since = NOW - timedelta(seconds=620)
    assert assess(wanted(progress_since=since), [late], NOW).status == Status.WAITING
    too_late = seen(started_at=NOW - timedelta(seconds=640), is_ready=False)
    verdict = assess(wanted(progress_since=NOW - timedelta(seconds=650)), [too_late], NOW)
    assert (verdict.status, verdict.reason) == (Status.FAILED, "NeverReady")


def test_a_program_that_ended_before_it_began_lived_no_time() -> None:
    """Kubelets keep whole seconds, and of a program that ends at once they may note the start last."""
    end = replace(ended(code=3), started_at=NOW, finished_at=NOW - timedelta(seconds=1))
    verdict = assess(wanted(status=Status.WAITING), [seen(phase=InstancePhase.BACKOFF, crashes=3, last_exit=end)], NOW)
    assert "It exited 3 times, the last 0.0 s after start." in verdict.message


def test_a_program_that_answers_between_its_ends_is_a_loop_once_it_is_held_back() -> None:
    def ending(wait_seconds: int) -> Seen:
        retry_at = NOW + timedelta(seconds=wait_seconds)
        return seen(
            phase=InstancePhase.BACKOFF,
            crashes=1,
            last_exit=ended(),
            retry_at=retry_at,
            restart_count=3,
            is_ready=False,
        )

    assert assess(wanted(status=Status.WAITING), [ending(20)], NOW).status == Status.WAITING
    verdict = assess(wanted(status=Status.WAITING), [ending(40)], NOW)
    assert (verdict.status, verdict.reason) == (Status.FAILED, "CrashLoopBackOff")
    assert "It exited 4 times" in verdict.message

"""The operator's verbs against the real local cluster: what they want, what comes of it, what repeating does."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.db import connection
from django.utils import timezone

from deployments import lifecycle
from deployments.asking import ask, ask_due, find_waiting
from deployments.clusters import get_cluster
from deployments.clusters.base import InstancePhase, ServiceObservation
from deployments.clusters.local.backend import LocalCluster
from deployments.encryption import decrypt
from deployments.leases import claim, release
from deployments.lifecycle import Conflict, RevisionMissing
from deployments.models import AuditEntry, Service, Status, Workspace
from deployments.reconcile import reconcile, remove_orphans
from deployments.spec import ServiceSpec, SpecInvalid
from tests.deployments.driving import drive, driven, remove_everything, tiny_document
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def workspace() -> Workspace:
    return Workspace.objects.get_or_create(slug="default", defaults={"name": "Default"})[0]


@pytest.fixture
def operator() -> User:
    return User.objects.create_superuser("op", password="x")


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    yield
    remove_everything()


@pytest.fixture
def create(workspace: Workspace, operator: User) -> Callable[..., Service]:
    def make(name: str, **changes: Any) -> Service:
        return lifecycle.create(workspace, operator, ServiceSpec.parse(tiny_document(name, **changes)))

    return make


def names(service: Service) -> set[str]:
    return {seen.name for seen in get_cluster().observe(service.uid).instances}


def codes(service: Service) -> list[str]:
    return list(service.events.order_by("pk").values_list("code", flat=True))


def test_a_created_service_runs_and_says_how_it_got_there(create: Callable[..., Service]) -> None:
    service = driven(create("tiny_a"), Status.RUNNING)
    assert service.serving_revision == service.wanted_revision
    assert codes(service)[0] == "Created"
    assert codes(service)[-1] == "RUNNING"
    assert service.instances.get().ready_at is not None
    assert service.observed_at is not None


def test_a_taken_name_is_a_conflict(create: Callable[..., Service]) -> None:
    create("tiny_a")
    with pytest.raises(Conflict) as caught:
        create("tiny_a")
    assert caught.value.code == "name_taken"


def test_a_recognised_command_is_labelled_with_its_engine(workspace: Workspace, operator: User) -> None:
    script = "python api/api_server.py --port=8000 --model-path=SmolLM2-135M-Instruct"
    document = tiny_document("tiny_a", script=script)
    document["containers"][0]["image"] = "chat-llm-webui:3.0"
    service = lifecycle.create(workspace, operator, ServiceSpec.parse(document))
    assert service.spec().engine == "chat-llm"
    lifecycle.update(service, ServiceSpec.parse(document), operator)
    assert service.revisions.count() == 1


def test_a_service_keeps_its_token_and_takes_one_given(create: Callable[..., Service], operator: User) -> None:
    service = create("tiny_a")
    before = decrypt(service.token_encrypted)
    changed = ServiceSpec.parse(tiny_document("tiny_a", cpu=1))
    assert decrypt(lifecycle.update(service, changed, operator).token_encrypted) == before
    given = ServiceSpec.parse(tiny_document("tiny_a", cpu=1) | {"token": "my-own-token-1"})
    assert decrypt(lifecycle.update(service, given, operator).token_encrypted) == "my-own-token-1"
    assert decrypt(lifecycle.rotate_token(service, operator).token_encrypted) not in (
        before,
        "my-own-token-1",
    )


def test_an_update_is_a_new_revision_and_replaces_instances(create: Callable[..., Service], operator: User) -> None:
    service = driven(create("tiny_a"), Status.RUNNING)
    before = names(service)
    lifecycle.update(service, ServiceSpec.parse(tiny_document("tiny_a", cpu=1)), operator)
    service = driven(service, Status.RUNNING)
    assert service.wanted_revision is not None
    assert service.wanted_revision.number == 2
    assert names(service).isdisjoint(before) or len(names(service) - before) == 1


def test_the_same_document_again_changes_nothing(create: Callable[..., Service], operator: User) -> None:
    service = driven(create("tiny_a"), Status.RUNNING)
    before = (service.generation, service.revisions.count(), AuditEntry.objects.count(), codes(service))
    lifecycle.update(service, ServiceSpec.parse(tiny_document("tiny_a")), operator)
    service.refresh_from_db()
    assert (
        service.generation,
        service.revisions.count(),
        AuditEntry.objects.count(),
        codes(service),
    ) == before


def test_scaling_makes_no_revision_and_restarts_nothing(create: Callable[..., Service], operator: User) -> None:
    service = driven(create("tiny_a"), Status.RUNNING)
    started = {seen.name: seen.started_at for seen in get_cluster().observe(service.uid).instances}
    lifecycle.update(service, ServiceSpec.parse(tiny_document("tiny_a", instance=3)), operator)
    service = driven(service, Status.RUNNING)
    after = {seen.name: seen.started_at for seen in get_cluster().observe(service.uid).instances}
    assert len(after) == 3
    assert started.items() <= after.items()
    assert service.revisions.count() == 1
    assert service.document["metadata"]["instance"] == 3


def test_scaling_to_zero_stops_and_one_brings_it_back(create: Callable[..., Service], operator: User) -> None:
    service = driven(create("tiny_a"), Status.RUNNING)
    lifecycle.scale(service, 0, operator)
    service = driven(service, Status.STOPPED)
    assert names(service) == set()
    lifecycle.scale(service, 1, operator)
    driven(service, Status.RUNNING)


def test_stop_and_start(create: Callable[..., Service], operator: User) -> None:
    service = driven(create("tiny_a"), Status.RUNNING)
    assert lifecycle.stop(service, operator).status == Status.STOPPING
    service = driven(service, Status.STOPPED)
    assert names(service) == set()
    assert lifecycle.start(service, operator).status == Status.STARTING
    driven(service, Status.RUNNING)


def test_an_update_of_a_stopped_service_waits_for_its_start(create: Callable[..., Service], operator: User) -> None:
    service = driven(create("tiny_a"), Status.RUNNING)
    lifecycle.stop(service, operator)
    service = driven(service, Status.STOPPED)
    lifecycle.update(service, ServiceSpec.parse(tiny_document("tiny_a", cpu=1)), operator)
    service = driven(service, Status.STOPPED)
    assert names(service) == set()
    lifecycle.start(service, operator)
    service = driven(service, Status.RUNNING)
    assert service.serving_revision is not None
    assert service.serving_revision.number == 2


def test_restart_replaces_every_instance_of_the_same_revision(create: Callable[..., Service], operator: User) -> None:
    service = driven(create("tiny_a", instance=2), Status.RUNNING)
    before = names(service)
    lifecycle.restart(service, operator)
    service = driven(service, Status.RUNNING)
    live = set(service.instances.filter(phase="Running").values_list("name", flat=True))
    assert len(live) == 2
    assert live.isdisjoint(before)
    assert service.revisions.count() == 1


def test_switching_back_serves_the_earlier_revision(create: Callable[..., Service], operator: User) -> None:
    service = driven(create("tiny_a"), Status.RUNNING)
    lifecycle.update(service, ServiceSpec.parse(tiny_document("tiny_a", cpu=1)), operator)
    service = driven(service, Status.RUNNING)
    lifecycle.switch_version(service, 1, operator)
    service = driven(service, Status.RUNNING)
    assert service.serving_revision is not None
    assert service.serving_revision.number == 1
    with pytest.raises(RevisionMissing):
        lifecycle.switch_version(service, 9, operator)


def test_delete_leaves_nothing(create: Callable[..., Service], operator: User) -> None:
    service = driven(create("tiny_a"), Status.RUNNING)
    lifecycle.delete(service, operator)
    drive(service, None)
    there = get_cluster().observe(service.uid)
    assert (there.instances, there.leftovers) == ((), False)


@pytest.mark.parametrize("verb", ["stop", "delete", "restart", "start"])
def test_repeating_a_verb_changes_nothing(create: Callable[..., Service], operator: User, verb: str) -> None:
    service = driven(create("tiny_a"), Status.RUNNING)
    act = getattr(lifecycle, verb)
    act(service, operator)
    service.refresh_from_db()
    before = (service.generation, service.status, AuditEntry.objects.count(), codes(service))
    act(service, operator)
    service.refresh_from_db()
    assert (service.generation, service.status, AuditEntry.objects.count(), codes(service)) == before


@pytest.mark.parametrize("verb", ["stop", "start", "restart", "rotate_token"])
def test_nothing_but_delete_can_be_said_of_a_service_being_deleted(
    create: Callable[..., Service], operator: User, verb: str
) -> None:
    service = create("tiny_a")
    lifecycle.delete(service, operator)
    with pytest.raises(Conflict) as caught:
        getattr(lifecycle, verb)(service, operator)
    assert caught.value.code == "deleting"


def test_a_stopped_service_cannot_be_restarted(create: Callable[..., Service], operator: User) -> None:
    service = create("tiny_a")
    lifecycle.stop(service, operator)
    with pytest.raises(Conflict) as caught:
        lifecycle.restart(service, operator)
    assert caught.value.code == "stopped"


def test_an_edit_of_an_old_revision_is_not_written_over_a_newer_one(
    create: Callable[..., Service], operator: User
) -> None:
    service = create("tiny_a")
    lifecycle.update(service, ServiceSpec.parse(tiny_document("tiny_a", cpu=1)), operator, base=1)
    with pytest.raises(Conflict) as caught:
        lifecycle.update(service, ServiceSpec.parse(tiny_document("tiny_a", cpu=2)), operator, base=1)
    assert caught.value.code == "edited_meanwhile"


def test_a_service_cannot_be_renamed(create: Callable[..., Service], operator: User) -> None:
    service = create("tiny_a")
    with pytest.raises(SpecInvalid):
        lifecycle.update(service, ServiceSpec.parse(tiny_document("tiny_b")), operator)


@pytest.mark.parametrize("instances", [-1, 1001])
def test_scaling_out_of_range_is_refused(create: Callable[..., Service], operator: User, instances: int) -> None:
    with pytest.raises(SpecInvalid):
        lifecycle.scale(create("tiny_a"), instances, operator)


def test_a_crash_loop_fails_with_its_last_log_lines_and_an_update_cures_it(
    create: Callable[..., Service], operator: User
) -> None:
    service = create("tiny_a", script="echo unknown flag --tensor-paralel >&2; exit 3")
    service = driven(service, Status.FAILED, seconds=40)
    event = service.events.get(code="CrashLoopBackOff")
    assert "unknown flag --tensor-paralel" in event.log_tail
    assert event.cure
    lifecycle.update(service, ServiceSpec.parse(tiny_document("tiny_a")), operator)
    driven(service, Status.RUNNING)


def test_a_failing_update_keeps_the_old_one_serving(create: Callable[..., Service], operator: User) -> None:
    service = driven(create("tiny_a"), Status.RUNNING)
    lifecycle.update(service, ServiceSpec.parse(tiny_document("tiny_a", script="exit 3")), operator)
    deadline = time.monotonic() + 40
    while service.reason != "UpdateHalted" and time.monotonic() < deadline:
        reconcile(service.pk)
        service.refresh_from_db()
        time.sleep(0.1)
    assert (service.status, service.reason) == (Status.RUNNING, "UpdateHalted"), service.message
    assert service.instances.filter(revision_number=1, ready_at__isnull=False, phase="Running").exists()
    lifecycle.switch_version(service, 1, operator)
    service = driven(service, Status.RUNNING)
    assert service.reason == "RUNNING"


def test_instances_of_a_service_without_a_row_are_removed(create: Callable[..., Service]) -> None:
    service = driven(create("tiny_a"), Status.RUNNING)
    service.delete()
    wait_until(lambda: not remove_orphans(get_cluster()), "nothing is left of the service")
    there = get_cluster().observe(service.uid)
    assert (there.instances, there.leftovers) == ((), False)


def test_what_is_asked_of_a_service_that_has_just_gone_is_a_conflict(
    create: Callable[..., Service], operator: User
) -> None:
    service = create("tiny_a")
    stale = Service.objects.get(pk=service.pk)
    lifecycle.delete(service, operator)
    assert drive(service, None) is None
    with pytest.raises(Conflict) as caught:
        lifecycle.stop(stale, operator)
    assert caught.value.code == "gone"
    assert lifecycle.delete(stale, operator).generation == stale.generation, "gone is what was wanted"


class LateCluster(LocalCluster):
    """Its look at the folders comes after services were created that the list of rows does not have."""

    def orphans(self, wanted: Iterable[str]) -> tuple[str, ...]:
        return super().orphans(())


def test_a_service_created_while_orphans_are_looked_for_stays(create: Callable[..., Service]) -> None:
    service = driven(create("tiny_a"), Status.RUNNING)
    assert remove_orphans(LateCluster(settings.SLIPWAY_DATA_DIR)) == ()
    assert [seen.phase for seen in get_cluster().observe(service.uid).instances] == [InstancePhase.RUNNING]


def test_two_reconciles_at_once_start_one_instance(create: Callable[..., Service]) -> None:
    service = create("tiny_a")

    def run() -> None:
        reconcile(service.pk)
        connection.close()

    threads = [threading.Thread(target=run) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    driven(service, Status.RUNNING)
    assert len(names(service)) == 1


def test_a_lease_of_a_dead_process_is_taken_over(create: Callable[..., Service]) -> None:
    service = create("tiny_a")
    holder = claim(service.pk)
    assert holder is not None
    assert claim(service.pk) is None, "held by a live process"
    dead = holder.replace(f":{os.getpid()}:", ":4194304:")
    Service.objects.filter(pk=service.pk).update(lease_holder=dead)
    taken = claim(service.pk)
    assert taken is not None
    release(service.pk, taken)


def test_the_sweep_finds_what_no_task_was_published_for(create: Callable[..., Service]) -> None:
    service = create("tiny_a")
    assert find_waiting(1) == [service.pk], "creating it has asked"
    assert ask_due(), "who was called for it may never come"
    Service.objects.filter(pk=service.pk).update(asked_at=None)
    assert find_waiting(1) == []
    assert ask_due(), "it is due all the same"
    assert find_waiting(1) == [service.pk]


def test_a_look_is_asked_for_once_until_it_is_over(create: Callable[..., Service]) -> None:
    service = create("tiny_a")
    assert not ask([service.pk]), "creating it has asked"
    driven(service, Status.RUNNING)
    assert ask([service.pk])
    assert not ask([service.pk])


class RestlessCluster(LocalCluster):
    """Something happens to the service while it is looked at: whoever noticed makes it due."""

    def observe(self, service_uid: str) -> ServiceObservation:
        seen = super().observe(service_uid)
        Service.objects.filter(uid=service_uid).update(next_check_at=timezone.now())
        return seen


def test_a_service_made_due_while_it_is_looked_at_is_looked_at_again(
    create: Callable[..., Service], monkeypatch: pytest.MonkeyPatch
) -> None:
    service = driven(create("tiny_a"), Status.RUNNING)
    restless = RestlessCluster(settings.SLIPWAY_DATA_DIR)
    with monkeypatch.context() as patched:
        patched.setattr("deployments.reconcile.get_cluster", lambda: restless)
        assert reconcile(service.pk).again_in_seconds == 0.0
    ask_due()
    assert find_waiting(1) == [service.pk], "also where nobody is called"
    assert reconcile(service.pk).again_in_seconds is None


def test_a_killed_program_comes_back_and_the_row_says_so(create: Callable[..., Service], tmp_path: Path) -> None:
    script = f"echo $$ > {tmp_path}/pid; exec python3 -m http.server --bind 127.0.0.1 $PORT"
    service = driven(create("tiny_a", script=script), Status.RUNNING)
    first = service.instances.get()
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)
    deadline = time.monotonic() + 20
    row = first
    while time.monotonic() < deadline and (row.restart_count == 0 or row.ready_at is None):
        reconcile(service.pk)
        row = service.instances.get()
        time.sleep(0.1)
    assert row.name == first.name
    assert row.restart_count == 1, row
    assert row.ready_at is not None

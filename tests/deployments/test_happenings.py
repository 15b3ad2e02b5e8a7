"""What real starts and failures leave behind: steps, causes with their evidence, and notices to the members."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.utils import timezone, translation

from console.failure_card import find_card
from deployments import lifecycle
from deployments.chronicle import Notice, StartStep
from deployments.models import Membership, Role, Service, ServiceEvent, Status, Workspace
from deployments.notices import prune_notices
from deployments.reconcile import reconcile
from deployments.spec import ServiceSpec
from deployments.stages import Stage
from deployments.timelines import prune_old_steps, prune_steps
from deployments.usual import usual_times
from tests.deployments.driving import SLOW_TO_END, drive, driven, remove_everything, tiny_document

pytestmark = pytest.mark.django_db(transaction=True)
#: Listens after half a second.
SLOW = "sleep 0.5; exec python3 -m http.server --bind 127.0.0.1 $PORT"


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    yield
    remove_everything()


@pytest.fixture
def people() -> dict[str, User]:
    """The members of a workspace, a stranger, and one who has left the company."""
    workspace = Workspace.objects.get_or_create(slug="default", defaults={"name": "Default"})[0]
    people = {name: User.objects.create_user(name) for name in ("olga", "vera", "stan", "gone")}
    for name, role in (("olga", Role.OWNER), ("vera", Role.VIEWER), ("gone", Role.OPERATOR)):
        Membership.objects.create(workspace=workspace, user=people[name], role=role)
    User.objects.filter(username="gone").update(is_active=False)
    return people


@pytest.fixture
def create(people: dict[str, User]) -> Callable[..., Service]:
    def make(script: str, name: str = "tiny", **changes: Any) -> Service:
        document = tiny_document(name, script) | changes
        workspace = Workspace.objects.get(slug="default")
        return lifecycle.create(workspace, people["olga"], ServiceSpec.parse(document))

    return make


def failed(service: Service) -> ServiceEvent:
    """The event that tells the failure, once there is one."""
    driven(service, Status.FAILED, seconds=60)
    return ServiceEvent.objects.filter(service=service, type="Warning").latest("pk")


def test_a_start_leaves_its_steps_in_order_and_without_gaps(create: Callable[..., Service]) -> None:
    service = driven(create(SLOW), Status.RUNNING)
    steps = list(StartStep.objects.filter(service=service).order_by("pk"))
    assert [step.stage for step in steps] == ["scheduled", "starting", "ready"]
    assert {step.outcome for step in steps} == {"done"}
    scheduled, starting, whole = steps
    assert scheduled.ended_at == starting.began_at
    assert starting.seconds > 0.4
    assert whole.began_at == scheduled.began_at
    assert whole.ended_at == starting.ended_at
    assert service.instances.get().stage == Stage.READY
    again = StartStep.objects.count()
    reconcile(service.pk)
    assert StartStep.objects.count() == again


def test_steps_outlive_their_instance(create: Callable[..., Service], people: dict[str, User]) -> None:
    service = driven(create(SLOW), Status.RUNNING)
    lifecycle.stop(service, people["olga"])
    driven(Service.objects.get(pk=service.pk), Status.STOPPED)
    assert not service.instances.exists()
    assert StartStep.objects.filter(service=service, stage="ready").count() == 1


def test_how_long_an_instance_took_to_end_is_kept(create: Callable[..., Service], people: dict[str, User]) -> None:
    service = driven(create(SLOW_TO_END), Status.RUNNING)
    lifecycle.stop(service, people["olga"])
    asked_at = Service.objects.get(pk=service.pk).progress_since
    driven(Service.objects.get(pk=service.pk), Status.STOPPED)
    step = StartStep.objects.filter(service=service).latest("pk")
    assert (step.stage, step.outcome, step.began_at) == ("ending", "done", asked_at)
    assert step.seconds >= 2
    assert usual_times(service, "")[Stage.ENDING].seconds == step.seconds


def test_old_steps_are_forgotten_and_the_newest_kept(create: Callable[..., Service]) -> None:
    service = driven(create(SLOW), Status.RUNNING)
    keys = list(StartStep.objects.order_by("pk").values_list("pk", flat=True))
    assert prune_steps(service.pk, kept=2) == 1
    assert prune_steps(service.pk, kept=2) == 0
    assert list(StartStep.objects.order_by("pk").values_list("pk", flat=True)) == keys[1:]
    StartStep.objects.filter(pk=keys[1]).update(ended_at=timezone.now() - timedelta(days=91))
    assert prune_old_steps() == 1
    assert StartStep.objects.filter(service=service).count() == 1


@pytest.mark.parametrize(
    ("script", "reason", "cause", "said"),
    [
        ("python3 -m http.server --bnid 80", "CrashLoopBackOff", "UnknownFlag", "--bnid"),
        ("python3 -c 'import quux_missing'", "CrashLoopBackOff", "ModuleMissing", "quux_missing"),
        ("cat /nowhere/at/all.txt", "CrashLoopBackOff", "FileMissing", "all.txt"),
        ("quux-serve --port $PORT", "CrashLoopBackOff", "ProgramMissing", "quux-serve"),
        ("echo done", "CrashLoopBackOff", "EndedByItself", "without an error"),
        ("python3 /nowhere/serve.py", "CrashLoopBackOff", "FileMissing", "serve.py"),
    ],
)
def test_a_program_that_cannot_run_is_explained(
    create: Callable[..., Service], script: str, reason: str, cause: str, said: str
) -> None:
    event = failed(create(script))
    assert (event.code, event.cause) == (reason, cause)
    assert said in event.message
    assert "It exited" in event.message
    assert event.cure
    assert event.fix == {"field": "containers[0].script", "value": None}
    assert event.times >= 3
    assert "/nowhere" not in event.message


def test_a_failure_that_goes_on_is_counted_on_the_one_event(create: Callable[..., Service]) -> None:
    service = create("exit 3")
    event = failed(service)
    assert event.times == 3
    deadline = timezone.now() + timedelta(seconds=30)
    while event.times < 4 and timezone.now() < deadline:
        reconcile(service.pk)
        event.refresh_from_db()
    assert event.times >= 4
    assert event.last_seen_at is not None
    assert event.last_seen_at > event.created_at
    assert ServiceEvent.objects.filter(service=service, code="CrashLoopBackOff").count() == 1


def test_another_cause_of_the_same_failure_is_told_with_its_own_cure(create: Callable[..., Service]) -> None:
    script = "n=$(cat runs || echo 0); echo $((n + 1)) > runs; [ $n -gt 2 ] || exit 3; exec quux-serve"
    service = create(script)
    before = failed(service)
    deadline = timezone.now() + timedelta(seconds=60)
    after = before
    while after.pk == before.pk and timezone.now() < deadline:
        reconcile(service.pk)
        after = ServiceEvent.objects.filter(service=service, code="CrashLoopBackOff").latest("pk")
    assert (before.code, before.cause) != (after.code, after.cause)
    assert after.cause == "ProgramMissing"
    card = find_card(Service.objects.get(pk=service.pk), list(service.events.order_by("-pk")))
    assert card is not None
    assert "was not found" in card.what
    assert card.cure == after.cure != before.cure


def test_out_of_memory_names_what_was_used_and_the_next_size(create: Callable[..., Service]) -> None:
    hog = "python3 -c 'import time; x = bytearray(300 * 1024 * 1024); time.sleep(60)'"
    service = create(hog, metadata={"name": "tiny", "instance": 1, "memory": 100})
    event = failed(service)
    assert (event.code, event.cause) == ("OOMKilled", "OutOfMemory")
    assert "the limit is 0.10 GiB" in event.message
    assert event.fix is not None
    assert event.fix["field"] == "metadata.memory"
    assert event.fix["value"] >= 200
    assert "the limit is 100 MiB" in event.log_tail


def test_a_missing_folder_is_told_to_everybody_without_the_server_s_path(create: Callable[..., Service]) -> None:
    storage = [{"mount_path": "/model_dir", "oss": {"path": "oss://models/qwen/"}}]
    service = create("cat /model_dir/config.json", storage=storage)
    event = failed(service)
    assert (event.code, event.cause) == ("StartError", "FolderMissing")
    assert "oss://models/qwen/" in event.message
    everything = f"{event.message}{event.cure}{service.instances.get().last_exit_message}"
    assert str(settings.SLIPWAY_DATA_DIR) not in everything
    assert any(str(settings.SLIPWAY_DATA_DIR) in line for line in event.log_tail.splitlines())


def test_a_program_that_opens_no_port_is_told_so(create: Callable[..., Service]) -> None:
    check = {"tcp_socket": {"port": 8000}, "initial_delay_seconds": 0, "period_seconds": 1, "failure_threshold": 1}
    container = {"image": "tools:1", "script": "sleep 60", "port": 8000, "startup_check": check}
    event = failed(create("", containers=[container]))
    assert (event.code, event.cause) == ("NeverReady", "PortNeverOpened")
    assert "has not opened its port 8000" in event.message


def test_members_are_told_what_happened_and_nobody_else(
    create: Callable[..., Service], people: dict[str, User]
) -> None:
    service = driven(create(SLOW), Status.RUNNING)
    lifecycle.stop(service, people["olga"])
    driven(Service.objects.get(pk=service.pk), Status.STOPPED)
    lifecycle.start(Service.objects.get(pk=service.pk), people["olga"])
    driven(Service.objects.get(pk=service.pk), Status.RUNNING)
    lifecycle.delete(Service.objects.get(pk=service.pk), people["olga"])
    drive(service, None)
    told = list(Notice.objects.filter(person=people["vera"]).order_by("pk").values_list("message", flat=True))
    assert told == ["tiny runs.", "tiny has stopped.", "tiny runs again.", "tiny has been deleted."]
    assert Notice.objects.filter(person=people["olga"]).count() == len(told)
    assert not Notice.objects.filter(person__in=(people["stan"], people["gone"])).exists()


def test_a_failed_update_is_told_as_rolled_back(create: Callable[..., Service], people: dict[str, User]) -> None:
    service = driven(create(SLOW), Status.RUNNING)
    worse = ServiceSpec.parse(tiny_document("tiny", "exit 7"))
    lifecycle.update(service, worse, people["olga"])
    row = Service.objects.get(pk=service.pk)
    deadline = timezone.now() + timedelta(seconds=60)
    while row.reason != "UpdateHalted" and timezone.now() < deadline:
        reconcile(row.pk)
        row.refresh_from_db()
    assert "r2 does not start; r1 keeps serving. No request was cut." in row.message
    newest = Notice.objects.filter(person=people["vera"]).latest("pk")
    assert newest.message.startswith("The update of tiny to r2 was rolled back.")


def test_old_notices_are_forgotten(create: Callable[..., Service], people: dict[str, User]) -> None:
    driven(create(SLOW), Status.RUNNING)
    Notice.objects.filter(person=people["vera"]).update(created_at=timezone.now() - timedelta(days=31))
    assert prune_notices() == 1
    assert list(Notice.objects.values_list("person__username", flat=True)) == ["olga"]


def test_what_is_kept_can_be_said_again_in_the_reader_s_language(create: Callable[..., Service]) -> None:
    event = failed(create("python3 -c 'import quux_missing'"))
    assert event.sentence == event.message
    assert event.message_words
    assert event.cure_words
    with translation.override("en"):
        assert getattr(event.sentence, "translated", str)() == event.message

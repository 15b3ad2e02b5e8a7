"""REST over services that really run: instances, logs, and what a crash loop tells."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from deployments.models import Service, Status
from deployments.reconcile import reconcile
from tests.deployments.api.conftest import Api
from tests.deployments.api.test_services import assert_nothing_is_null
from tests.deployments.driving import TINY_SERVER, drive, driven, remove_everything
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)
CHAT = "services/local/chat"
#: Ninety numbered lines, every third of them special, then the server.
TALKER = f"for i in $(seq 1 90); do echo line $i $([ $((i % 3)) = 0 ] && echo Fizz); done; {TINY_SERVER}"


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    yield
    remove_everything()


@pytest.fixture
def running(make_service: Callable[..., Service]) -> Service:
    container = {"image": "tools:1", "script": TALKER, "port": 8000}
    return driven(make_service(containers=[container]), Status.RUNNING)


def said(lines: list[str]) -> list[str]:
    """Log lines without the time in front."""
    return [line.partition(" ")[2].strip() for line in lines]


def test_a_running_service_says_so_and_lists_its_instance(owner: Api, running: Service) -> None:
    answer = owner.get(CHAT)[1]
    assert (answer["Status"], answer["Reason"], answer["Message"]) == (
        "Running",
        "RUNNING",
        "Service start successfully",
    )
    assert (answer["RunningInstance"], answer["PendingInstance"]) == (1, 0)
    listed = owner.get(f"{CHAT}/instances")[1]
    assert listed["TotalCount"] == 1
    instance = listed["Instances"][0]
    assert_nothing_is_null(listed)
    assert (instance["Status"], instance["ReadyProcesses"], instance["TotalProcesses"]) == ("Running", 1, 1)
    assert instance["IsLatest"]
    assert 1024 < instance["InstancePort"] < 30000
    assert owner.get(f"{CHAT}/instances/{instance['InstanceName']}")[1]["InstanceName"] == instance["InstanceName"]
    assert owner.get(f"{CHAT}/instances", InstanceStatus="Failed")[1]["TotalCount"] == 0
    assert owner.get(f"{CHAT}/instances", InstanceName="other")[1]["TotalCount"] == 0


def test_the_pages_of_a_log_are_the_whole_log_in_order(owner: Api, running: Service) -> None:
    pages = [owner.get(f"{CHAT}/logs", PageSize="40", PageNum=str(number))[1] for number in (1, 2, 3, 4)]
    lines = [line for page in pages for line in said(page["Logs"])]
    numbered = [line for line in lines if line.startswith("line")]
    assert [line.split()[1] for line in numbered] == [str(number) for number in range(1, 91)]
    assert pages[0]["TotalPageNum"] == -(-pages[0]["TotalCount"] // 40)
    assert len(pages[0]["Logs"]) == 40
    assert pages[3]["Logs"] == []


def test_a_keyword_finds_its_lines_page_by_page(owner: Api, running: Service) -> None:
    pages = [owner.get(f"{CHAT}/logs", Keyword="fizz", PageSize="20", PageNum=str(number))[1] for number in (1, 2, 3)]
    found = [line.split()[1] for page in pages for line in said(page["Logs"])]
    assert found == [str(number) for number in range(3, 91, 3)]
    assert (pages[0]["TotalCount"], pages[0]["TotalPageNum"]) == (30, 2)


def test_a_log_is_followed_from_its_tail(owner: Api, running: Service) -> None:
    tail = owner.get(f"{CHAT}/logs", Tail="5")[1]
    assert len(tail["Logs"]) == 5
    rest = owner.get(f"{CHAT}/logs", FromLine=str(tail["NextLine"]))[1]
    assert not set(rest["Logs"]) & set(tail["Logs"])
    everything = owner.get(f"{CHAT}/logs", FromLine="0")[1]
    assert everything["Logs"][: tail["NextLine"]][-5:] == tail["Logs"]


def test_an_instance_without_a_log_is_404(owner: Api, running: Service) -> None:
    name = owner.get(f"{CHAT}/logs")[1]["InstanceName"]
    assert owner.get(f"{CHAT}/logs", InstanceName=name)[1]["TotalCount"] >= 90
    for wrong in ("nope", "../../db.sqlite3", "..", "x" * 5000):
        assert owner.get(f"{CHAT}/logs", InstanceName=wrong)[0] == 404


@pytest.mark.parametrize(
    ("parameter", "value"),
    [("PageNum", "0"), ("PageSize", "1001"), ("Tail", "-1"), ("FromLine", "x"), ("Previous", "maybe"),
     ("Keyword", "\0"), ("InstanceName", "\0"), ("PageNum", "9" * 40)],
)  # fmt: skip
def test_a_wrong_parameter_of_logs_is_named(owner: Api, service: Service, parameter: str, value: str) -> None:
    status, answer = owner.get(f"{CHAT}/logs", **{parameter: value})
    assert status == 400
    assert answer["Errors"][0]["Field"] == parameter


def test_a_service_that_never_ran_has_an_empty_log(owner: Api, service: Service) -> None:
    status, answer = owner.get(f"{CHAT}/logs")
    assert (status, answer["Logs"], answer["TotalCount"], answer["InstanceName"]) == (200, [], 0, "")


def test_the_log_outlives_the_instance(owner: Api, running: Service) -> None:
    owner.put(f"{CHAT}/stop")
    driven(running, Status.STOPPED)
    assert owner.get(f"{CHAT}/instances")[1]["TotalCount"] == 0
    assert owner.get(f"{CHAT}/logs", Keyword="line 90")[1]["TotalCount"] == 1


def test_a_crash_loop_is_failed_with_the_log_in_the_event(owner: Api, make_service: Callable[..., Service]) -> None:
    container = {"image": "tools:1", "script": "echo cannot find my weights; exit 3", "port": 8000}
    driven(make_service(containers=[container]), Status.FAILED, seconds=60)
    answer = owner.get(CHAT)[1]
    assert (answer["Status"], answer["Reason"]) == ("Failed", "CrashLoopBackOff")
    event = owner.get(f"{CHAT}/events", EventType="Warning")[1]["Events"][0]
    assert event["Code"] == "CrashLoopBackOff"
    assert event["Cure"]
    assert (event["Cause"], event["Fix"]) == ("Crashed", {"Field": "containers[0].script", "Value": ""})
    assert event["Times"] >= 3
    assert event["LastTime"] >= event["Time"]
    assert any("cannot find my weights" in line for line in event["LogTail"])
    instance = owner.get(f"{CHAT}/instances")[1]["Instances"][0]
    assert instance["LastState"][0]["exitCode"] == 3
    assert instance["RestartCount"] >= 1


def test_usual_times_are_those_of_the_kept_starts_and_ends(owner: Api, running: Service) -> None:
    told = {one["Stage"]: one for one in owner.get(f"{CHAT}/usual-times")[1]["UsualTimes"]}
    assert list(told) == ["scheduled", "starting", "ready"]
    ready = running.start_steps.get(stage="ready")
    assert told["ready"]["Seconds"] == told["ready"]["P90Seconds"] == round(ready.seconds, 3)
    assert told["ready"]["SlowAfterSeconds"] > told["ready"]["P90Seconds"]
    assert (told["ready"]["Runs"], told["ready"]["OfOthers"]) == (1, False)
    owner.put(f"{CHAT}/stop")
    driven(running, Status.STOPPED)
    assert [one["Stage"] for one in owner.get(f"{CHAT}/usual-times")[1]["UsualTimes"]][-1] == "ending"


def test_usual_times_of_a_new_service_are_those_of_services_alike(
    owner: Api, running: Service, make_service: Callable[..., Service]
) -> None:
    make_service("other", containers=running.document["containers"])
    times = owner.get("services/local/other/usual-times")[1]["UsualTimes"]
    assert {(one["Stage"], one["OfOthers"]) for one in times} >= {("ready", True)}
    make_service("unlike")
    assert owner.get("services/local/unlike/usual-times")[1]["UsualTimes"] == []


def test_deleting_ends_in_404(owner: Api, running: Service) -> None:
    status, answer = owner.delete(CHAT)
    assert (status, answer["Status"]) == (200, "Deleting")
    assert owner.delete(CHAT)[0] == 200
    drive(running, None)
    assert owner.get(CHAT)[0] == 404
    assert owner.delete(CHAT)[0] == 404


def test_one_instance_is_restarted_and_the_other_goes_on(
    owner: Api, viewer: Api, make_service: Callable[..., Service]
) -> None:
    program = {"image": "tools:1", "script": TINY_SERVER, "port": 8000}
    metadata = {"name": "chat", "instance": 2, "eas.termination_grace_period": 5}
    service = driven(make_service(containers=[program], metadata=metadata), Status.RUNNING)
    one, other = (row.name for row in service.instances.all())
    assert viewer.request("DELETE", f"{CHAT}/instances", query={"InstanceList": one})[0] == 403

    status, answer = owner.request("DELETE", f"{CHAT}/instances", query={"InstanceList": one})

    assert (status, answer["Message"]) == (200, f"Restarting {one}.")
    assert owner.get(f"{CHAT}/instances/{one}")[1]["Status"] == "Stopping"
    assert not owner.get(f"{CHAT}/instances/{one}")[1]["Ready"]
    assert owner.get(f"{CHAT}/events")[1]["Events"][0]["Code"] == "InstanceRestarted"
    assert owner.request("DELETE", f"{CHAT}/instances", query={"InstanceList": one})[1]["Message"] == (
        "They are stopping already."
    )
    names = wait_until(lambda: replaced(service, one), f"another instance in place of {one}")
    assert other in names


def replaced(service: Service, name: str) -> list[str] | None:
    """The instances that answer, once there are two again without ``name``."""
    reconcile(service.pk)
    rows = [row.name for row in service.instances.all() if row.ready_at]
    return rows if len(rows) == 2 and name not in rows else None


@pytest.mark.parametrize(
    ("instances", "status", "code"),
    [("", 400, "InvalidParameter"), ("nobody-1", 404, "InstanceNotFound")],
)
def test_what_cannot_be_restarted_is_named(
    owner: Api, service: Service, instances: str, status: int, code: str
) -> None:
    found, answer = owner.request("DELETE", f"{CHAT}/instances", query={"InstanceList": instances})
    assert (found, answer["Code"]) == (status, code)

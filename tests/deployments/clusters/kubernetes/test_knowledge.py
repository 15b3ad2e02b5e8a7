"""What the watches said, by service: what changed, what has to leave routing, whose events are whose."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from deployments.clusters.kubernetes.kinds import Manifest, key_of
from deployments.clusters.kubernetes.names import own_labels
from deployments.clusters.kubernetes.store import trimmed
from deployments.clusters.kubernetes.watching.knowledge import Change, Knowledge
from deployments.clusters.kubernetes.watching.watched import ENDPOINT_SLICES, EVENTS, OF_SERVICES, PODS
from deployments.clusters.kubernetes.watching.writing import merge, merge_events, write_view
from deployments.models import ClusterView
from tests.clock import Clock

DEPLOYMENTS = OF_SERVICES[0]


@pytest.fixture
def clock() -> Clock:
    clock = Clock()
    clock.now = 100.0  # small enough that sums of tenths come out
    return clock


@pytest.fixture
def knowledge(clock: Clock) -> Knowledge:
    return Knowledge(lambda found: found, lambda uid, pod, is_there: None, clock)


def thing(name: str, service: str = "u1", version: int = 1, **more: Any) -> Manifest:
    metadata = {"name": name, "uid": f"uid-{name}", "resourceVersion": str(version), "labels": own_labels("s", service)}
    return {"metadata": metadata | more.pop("metadata", {}), **more}


def pod(name: str, *, ready: bool = True, ending: bool = False, version: int = 1) -> Manifest:
    status = {"conditions": [{"type": "Ready", "status": str(ready)}]}
    return thing(name, version=version, metadata={"deletionTimestamp": "now"} if ending else {}, status=status)


def endpoints(**ready: bool) -> Manifest:
    found = [{"conditions": {"ready": value}, "targetRef": {"name": name}} for name, value in ready.items()]
    return thing("slice", endpoints=found)


def event(name: str, about: str, second: int = 0) -> Manifest:
    return {
        "metadata": {"name": name, "uid": f"uid-{name}"},
        "involvedObject": {"name": about},
        "lastTimestamp": f"2026-01-01T12:00:{second:02d}Z",
    }


def taken(knowledge: Knowledge) -> dict[str, Change]:
    return {change.service_uid: change for change in knowledge.take(100)[0]}


def test_changes_come_by_service_with_all_its_objects(knowledge: Knowledge) -> None:
    knowledge.put(DEPLOYMENTS, thing("a", "u1"))
    knowledge.put(DEPLOYMENTS, thing("b", "u2"))
    assert set(taken(knowledge)) == {"u1", "u2"}

    knowledge.put(PODS, thing("a-1", "u1"))

    changes = taken(knowledge)
    assert set(changes) == {"u1"}
    assert set(changes["u1"].manifests) == {"Deployment/a"}
    assert changes["u1"].manifests["Deployment/a"]["apiVersion"] == "apps/v1"
    assert set(changes["u1"].pods) == {"a-1"}
    assert taken(knowledge) == {}


def test_what_has_not_changed_is_no_news(knowledge: Knowledge) -> None:
    knowledge.put(DEPLOYMENTS, thing("a"))
    taken(knowledge)
    knowledge.replace(DEPLOYMENTS, [thing("a")], "7")
    assert taken(knowledge) == {}
    knowledge.replace(DEPLOYMENTS, [thing("a", version=2)], "8")
    assert set(taken(knowledge)) == {"u1"}


def test_a_new_list_takes_away_what_it_lacks(knowledge: Knowledge) -> None:
    knowledge.replace(DEPLOYMENTS, [thing("a"), thing("b", "u2")], "7")
    taken(knowledge)
    knowledge.replace(DEPLOYMENTS, [thing("a")], "8")
    changes = taken(knowledge)
    assert set(changes) == {"u2"}
    assert changes["u2"].manifests == {}
    assert knowledge.services() == {"u1"}


def test_an_object_without_a_service_is_nobodys(knowledge: Knowledge) -> None:
    found = thing("a")
    del found["metadata"]["labels"]["slipway.dev/service-uid"]
    knowledge.put(DEPLOYMENTS, found)
    assert taken(knowledge) == {}


@pytest.mark.parametrize(
    ("before", "after", "leaving", "unready"),
    [
        (pod("p"), pod("p", ending=True), {"p"}, set()),
        (pod("p"), pod("p", ready=False, version=2), set(), {"p"}),
        (pod("p", ready=False), pod("p", version=2), set(), set()),
        (pod("p", ready=False), pod("p", ready=False, version=2), set(), set()),
        (pod("p"), None, {"p"}, set()),
    ],
)
def test_a_pod_that_ends_or_fails_its_checks_has_to_leave_routing(
    knowledge: Knowledge, before: Manifest, after: Manifest | None, leaving: set[str], unready: set[str]
) -> None:
    knowledge.put(PODS, before)
    taken(knowledge)
    if after is None:
        knowledge.remove(PODS, before)
    else:
        knowledge.put(PODS, after)
    change = taken(knowledge)["u1"]
    assert (change.leaving, change.unready) == (leaving, unready)


def test_a_pod_that_drops_out_of_its_endpoints_has_to_leave_routing(knowledge: Knowledge) -> None:
    knowledge.put(ENDPOINT_SLICES, endpoints(p=True, q=True, r=False))
    assert taken(knowledge)["u1"].unready == set()
    knowledge.put(ENDPOINT_SLICES, endpoints(p=True, q=False, r=True))
    assert taken(knowledge)["u1"].unready == {"q"}
    knowledge.put(ENDPOINT_SLICES, endpoints(r=True))
    assert taken(knowledge)["u1"].unready == {"p"}


def test_urgent_news_wait_for_nothing(knowledge: Knowledge, clock: Clock) -> None:
    knowledge.put(DEPLOYMENTS, thing("a", "u2"))
    clock.now += 10
    knowledge.put(PODS, pod("p", ending=True))
    knowledge.wait(quiet_seconds=3600, timeout_seconds=3600)
    (first,), _ = knowledge.take(1)
    assert first.service_uid == "u1", "it comes before what has waited longer"


def test_a_service_that_changes_all_the_time_is_taken_now_and_then(clock: Clock) -> None:
    spaced = Knowledge(lambda found: found, lambda uid, pod, is_there: None, clock, spacing_seconds=0.4)
    spaced.put(DEPLOYMENTS, thing("a"))
    assert taken(spaced).keys() == {"u1"}, "the first change at once"
    clock.now += 0.1
    spaced.put(DEPLOYMENTS, thing("a", version=2))
    spaced.put(DEPLOYMENTS, thing("b", "u2"))
    assert taken(spaced).keys() == {"u2"}
    spaced.put(PODS, pod("a-1", ending=True))
    assert taken(spaced).keys() == {"u1"}, "what leaves routing waits for nothing"
    clock.now += 0.1
    spaced.put(DEPLOYMENTS, thing("a", version=3))
    assert taken(spaced) == {}
    clock.now += 0.4
    assert taken(spaced)["u1"].manifests["Deployment/a"]["metadata"]["resourceVersion"] == "3"


def test_what_is_not_urgent_is_waited_for_together(clock: Clock) -> None:
    knowledge = Knowledge(lambda found: found, lambda uid, pod, is_there: None, clock, apart_seconds=0.2)
    assert knowledge.take(10)[0] == [], "nothing taken keeps nobody waiting"
    knowledge.put(DEPLOYMENTS, thing("a"))
    assert knowledge.due_in(quiet_seconds=0.1) == pytest.approx(0.1)
    assert taken(knowledge).keys() == {"u1"}
    knowledge.put(DEPLOYMENTS, thing("b", "u2"))
    clock.now += 0.05
    knowledge.put(DEPLOYMENTS, thing("c", "u3"))
    assert knowledge.due_in(quiet_seconds=0.1) == pytest.approx(0.15)
    clock.now += 0.15
    assert knowledge.due_in(quiet_seconds=0.1) <= 0
    assert taken(knowledge).keys() == {"u2", "u3"}
    knowledge.put(DEPLOYMENTS, thing("a", version=2))
    knowledge.put(PODS, pod("a-1", ending=True))
    assert knowledge.due_in(quiet_seconds=0.1) <= 0


def test_what_could_not_be_written_is_taken_again_with_what_is_there_then(knowledge: Knowledge) -> None:
    knowledge.put(DEPLOYMENTS, thing("a"))
    knowledge.put(PODS, pod("a-1", ending=True))
    knowledge.put(EVENTS, event("e", "a"))
    changes, _ = knowledge.take(10)
    knowledge.put(DEPLOYMENTS, thing("a", version=2))
    knowledge.give_back(changes)

    change = taken(knowledge)["u1"]

    assert change.manifests["Deployment/a"]["metadata"]["resourceVersion"] == "2"
    assert change.leaving == {"a-1"}
    assert [one["metadata"]["name"] for one in change.events] == ["e"]


def test_events_are_those_of_the_object_and_of_what_was_made_for_it(knowledge: Knowledge) -> None:
    knowledge.put(DEPLOYMENTS, thing("chat-abc"))
    for about in ("chat-abc", "chat-abc-6f9c", "chat-abc-6f9c-x2z9q", "chat-abcd", "other-1"):
        knowledge.put(EVENTS, event(f"of-{about}", about))
    names = {one["metadata"]["name"] for one in taken(knowledge)["u1"].events}
    assert names == {"of-chat-abc", "of-chat-abc-6f9c", "of-chat-abc-6f9c-x2z9q"}


def test_events_that_come_before_their_object_are_claimed_by_it(knowledge: Knowledge) -> None:
    knowledge.put(EVENTS, event("early", "chat-abc-6f9c-x2z9q"))
    assert taken(knowledge) == {}
    knowledge.put(DEPLOYMENTS, thing("chat-abc"))
    assert [one["metadata"]["name"] for one in taken(knowledge)["u1"].events] == ["early"]


def test_the_last_hundred_events_are_kept_in_order() -> None:
    kept = [event(f"e{number}", "a", number % 60) for number in range(60)]
    again = event("e3", "a", 59) | {"count": 2}
    merged = merge_events(kept, [again, *(event(f"n{number}", "a", 30) for number in range(60))])
    assert len(merged) == 100
    assert merged == sorted(merged, key=lambda one: one["lastTimestamp"])
    assert [one for one in merged if one["metadata"]["name"] == "e3"] == [again]


def test_what_a_worker_wrote_counts_until_the_watch_has_come_that_far() -> None:
    seen = {"Deployment/a": {"kind": "Deployment"} | thing("a", version=5)}
    kept = {
        "Deployment/a": {"kind": "Deployment"} | thing("a", version=8),
        "Secret/new": {"kind": "Secret"} | thing("new", version=9),
        "Secret/old": {"kind": "Secret"} | thing("old", version=3),
    }
    merged = merge(seen, kept, {"Deployment": "6", "Secret": "4"})
    assert {key: one["metadata"]["resourceVersion"] for key, one in merged.items()} == {
        "Deployment/a": "8",
        "Secret/new": "9",
    }
    assert merge(seen, kept, {"Deployment": "9", "Secret": "9"}).keys() == {"Deployment/a"}


def of_kind(kind: str, found: Manifest) -> Manifest:
    return {"kind": kind} | found


def status_of_deployment(**reasons: str) -> dict[str, Any]:
    """With a condition for each of these reasons, beside what every rollout counts and says."""
    conditions = {"Available": "MinimumReplicasAvailable", "Progressing": "NewReplicaSetAvailable"} | reasons
    told = [{"type": name, "status": "True", "reason": reason} for name, reason in conditions.items()]
    return {"observedGeneration": 1, "readyReplicas": 2, "conditions": told}


@pytest.mark.parametrize(
    ("changed", "is_looked_at"),
    [
        ({"manifests": [of_kind("Deployment", thing("a", version=2, spec={"replicas": 2}))]}, True),
        ({"manifests": [of_kind("Deployment", thing("a", version=2, status=status_of_deployment()))]}, False),
        (
            {
                "manifests": [
                    of_kind("Deployment", thing("a", status=status_of_deployment(ReplicaFailure="FailedCreate")))
                ]
            },
            True,
        ),
        (
            {
                "manifests": [
                    of_kind(
                        "Deployment", thing("a", status=status_of_deployment(Progressing="ProgressDeadlineExceeded"))
                    )
                ]
            },
            True,
        ),
        ({"manifests": [of_kind("Secret", thing("new"))]}, True),
        ({"pods": {"a-1": pod("a-1")}}, True),
        ({"events": [event("e", "a") | {"reason": "FailedCreate"}]}, True),
        ({"events": [event("e", "a") | {"reason": "ScalingReplicaSet"}]}, False),
        ({"manifests": [of_kind("Budget", thing("a", version=2, status={"now": 2}))]}, False),
        ({"manifests": [of_kind("Budget", thing("a", version=2, spec={"now": 2}))]}, True),
        ({"manifests": [of_kind("EndpointSlice", endpoints(p=False))]}, False),
        ({"manifests": [of_kind("EndpointSlice", {"metadata": {"name": "new"}})]}, False),
    ],
)
@pytest.mark.django_db
def test_a_worker_is_called_for_what_it_would_look_at(changed: dict[str, Any], is_looked_at: bool) -> None:
    found = [of_kind("Deployment", thing("a")), of_kind("Budget", thing("a")), of_kind("EndpointSlice", endpoints())]
    before = {key_of(one): one for one in found}
    long_ago = datetime(2026, 1, 1, tzinfo=UTC)
    row = ClusterView.objects.create(service_uid="u1", manifests=before, changed_at=long_ago)
    manifests = before | {key_of(one): one for one in changed.pop("manifests", ())}

    assert write_view(row, Change("u1", manifests, **changed), {}, datetime.now(UTC)) == is_looked_at

    row.refresh_from_db()
    assert row.version == 2, "it is written all the same"


def test_secrets_are_known_without_their_values() -> None:
    knowledge = Knowledge(trimmed, lambda uid, pod, is_there: None)
    secrets = next(watched for watched in OF_SERVICES if watched.name == "Secret")
    knowledge.put(secrets, thing("a", data={"token": "c2VjcmV0"}))
    assert "c2VjcmV0" not in str(taken(knowledge)["u1"].manifests)

"""What the watches have said of every service's objects, in memory, and which services that changed.

Objects are held as JSON text: a fifth of what they take as dictionaries, and only those of a changed service are read.
"""

from __future__ import annotations

import json
import math
import threading
import time
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from deployments.clusters.kubernetes.kinds import Manifest, key_of
from deployments.clusters.kubernetes.names import SERVICE_UID
from deployments.clusters.kubernetes.reading import condition, is_ending, labels_of, name_of
from deployments.clusters.kubernetes.watching.watched import ENDPOINT_SLICES, EVENTS, OF_SERVICES, PODS, Watched

#: Events that came before the object they are about.
MOST_UNCLAIMED = 1000
#: A pod's name is its ReplicaSet's and five letters, and that one's is the Deployment's and a hash.
GENERATED_PARTS = 2
GENERATED = (PODS, ENDPOINT_SLICES)


@dataclass(frozen=True, slots=True)
class Held:
    """One object: ``key`` is ``Kind/name``."""

    service_uid: str
    key: str
    text: bytes


@dataclass(slots=True)
class Change:
    """One service whose objects changed: all of them as they are now, and what else happened since the last time."""

    service_uid: str
    manifests: dict[str, Manifest] = field(default_factory=dict)
    pods: dict[str, Manifest] = field(default_factory=dict)
    events: list[Manifest] = field(default_factory=list)
    leaving: set[str] = field(default_factory=set)  # pods that have been asked to end, or are gone
    unready: set[str] = field(default_factory=set)  # pods whose checks pass no longer


@dataclass(slots=True)
class News:
    """What has not been taken yet of one service."""

    since: float  # or from when on it may be taken
    events: dict[str, Manifest] = field(default_factory=dict)  # by their own uid
    leaving: set[str] = field(default_factory=set)
    unready: set[str] = field(default_factory=set)

    @property
    def is_urgent(self) -> bool:
        return bool(self.leaving or self.unready)


class Knowledge:
    """A ``reflector.Sink`` for services' objects and Kubernetes' events. Safe for threads."""

    def __init__(
        self,
        trim: Callable[[Manifest], Manifest],
        on_pod: Callable[[str, Manifest, bool], None],
        clock: Callable[[], float] = time.monotonic,
        spacing_seconds: float = 0.0,
        apart_seconds: float = 0.0,
    ) -> None:
        """``on_pod`` is told of every change: (service's uid, the pod, whether it is there); it must not wait.

        One service is taken once in ``spacing_seconds``, unless it is urgent: a rollout makes dozens of changes. What
        is not urgent at all is taken once in ``apart_seconds``: many services are written together for little more than
        one.
        """
        self._trim = trim
        self._on_pod = on_pod
        self._clock = clock
        self._spacing_seconds = spacing_seconds
        self._apart_seconds = apart_seconds
        self._any_taken_at = -math.inf
        self._taken_at: dict[str, float] = {}
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._objects: dict[Watched, dict[str, Held]] = {watched: {} for watched in OF_SERVICES}
        self._of_service: defaultdict[str, set[tuple[Watched, str]]] = defaultdict(set)
        self._service_of_name: dict[str, str] = {}
        self._unclaimed: OrderedDict[str, Manifest] = OrderedDict()
        self._news: dict[str, News] = {}
        self._versions: dict[str, str] = {}
        self._listed_at: dict[Watched, datetime] = {}

    # What the reflectors tell

    def known(self, watched: Watched) -> frozenset[str]:
        """Events vanish after an hour by themselves, so none is missed."""
        with self._lock:
            return frozenset() if watched is EVENTS else frozenset(self._objects[watched])

    def replace(self, watched: Watched, objects: Sequence[Manifest], version: str) -> None:
        with self._lock:
            if watched is not EVENTS:
                there = {found["metadata"]["uid"] for found in objects}
                for uid in self._objects[watched].keys() - there:
                    self._forget(watched, uid)
            for found in objects:
                self._take(watched, found)
            self._versions[watched.kind.name] = version
            self._listed_at[watched] = datetime.now(UTC)

    def put(self, watched: Watched, found: Manifest) -> None:
        with self._lock:
            self._take(watched, found)

    def remove(self, watched: Watched, found: Manifest) -> None:
        """Of events nothing is removed: they are kept for longer than the API server keeps them."""
        with self._lock:
            if watched is not EVENTS:
                self._forget(watched, found["metadata"]["uid"])

    def reach(self, watched: Watched, version: str) -> None:
        with self._lock:
            self._versions[watched.kind.name] = version

    # What the writer takes

    def listed_at(self, needed: Sequence[Watched]) -> datetime | None:
        """When the one of them that was listed longest ago was; None until all have been."""
        with self._lock:
            times = [self._listed_at.get(watched) for watched in needed]
        return min(filter(None, times)) if all(times) else None

    def wait(self, quiet_seconds: float, timeout_seconds: float) -> None:
        """Until something changed ``quiet_seconds`` ago, or is urgent; at most ``timeout_seconds``."""
        deadline = self._clock() + timeout_seconds
        with self._changed:
            while (left := min(deadline, self._due_at(quiet_seconds)) - self._clock()) > 0:
                self._changed.wait(left)

    def due_in(self, quiet_seconds: float) -> float:
        """Seconds until ``wait`` returns for what is known now."""
        with self._lock:
            return self._due_at(quiet_seconds) - self._clock()

    def take(self, limit: int) -> tuple[list[Change], Mapping[str, str]]:
        """The services that changed, those with urgent news and the longest waiting first.

        And up to which version each kind has been told at that moment.
        """
        with self._lock:
            now = self._clock()
            ripe = [uid for uid, news in self._news.items() if news.is_urgent or news.since <= now]
            order = sorted(ripe, key=lambda uid: (not self._news[uid].is_urgent, self._news[uid].since))[:limit]
            if order:
                self._any_taken_at = now
            if self._spacing_seconds:
                self._taken_at.update(dict.fromkeys(order, now))
            return [self._change_of(uid, self._news.pop(uid)) for uid in order], dict(self._versions)

    def give_back(self, changes: Sequence[Change]) -> None:
        """They could not be written: their news count on, and are taken again with what is there then."""
        with self._lock:
            for change in changes:
                news = self._note(change.service_uid, is_urgent=bool(change.leaving or change.unready))
                news.leaving |= change.leaving
                news.unready |= change.unready
                for event in change.events:
                    news.events.setdefault(event["metadata"]["uid"], event)

    def touch(self, service_uids: Sequence[str]) -> None:
        """Take these services as changed, whatever was said of them."""
        with self._lock:
            for uid in service_uids:
                self._note(uid)

    def services(self) -> frozenset[str]:
        with self._lock:
            return frozenset(self._of_service)

    # Inside the lock

    def _due_at(self, quiet_seconds: float) -> float:
        if not self._news:
            return float("inf")
        if any(news.is_urgent for news in self._news.values()):
            return 0.0
        due_at = min(news.since for news in self._news.values()) + quiet_seconds
        return max(due_at, self._any_taken_at + self._apart_seconds)

    def _note(self, service_uid: str, *, is_urgent: bool = False) -> News:
        news = self._news.get(service_uid)
        if news is None:
            spaced = self._taken_at.get(service_uid, 0.0) + self._spacing_seconds
            news = self._news[service_uid] = News(max(self._clock(), spaced))
            is_urgent = True  # it may be due before what is waited for
        if is_urgent:
            self._changed.notify()
        return news

    def _take(self, watched: Watched, found: Manifest) -> None:
        if watched is EVENTS:
            self._take_event(found)
            return
        service_uid = str(labels_of(found).get(SERVICE_UID) or "")
        uid = str(found["metadata"]["uid"])
        if not service_uid:
            return
        found = self._trim({"apiVersion": watched.kind.api_version, "kind": watched.kind.name} | found)
        held = Held(service_uid, key_of(found), json.dumps(found, separators=(",", ":")).encode())
        before = self._objects[watched].get(uid)
        if before == held:
            return
        if before is not None and before.service_uid != service_uid:  # somebody moved its label by hand
            self._forget(watched, uid)
        self._objects[watched][uid] = held
        self._of_service[service_uid].add((watched, uid))
        self._note_routing(watched, service_uid, json.loads(before.text) if before else None, found)
        self._note(service_uid)
        if watched not in GENERATED and self._service_of_name.get(name_of(found)) != service_uid:
            self._service_of_name[name_of(found)] = service_uid
            self._claim_events(name_of(found))

    def _forget(self, watched: Watched, uid: str) -> None:
        held = self._objects[watched].pop(uid, None)
        if held is None:
            return
        self._of_service[held.service_uid].discard((watched, uid))
        if not self._of_service[held.service_uid]:
            del self._of_service[held.service_uid]
            self._taken_at.pop(held.service_uid, None)
            for name in [name for name, owner in self._service_of_name.items() if owner == held.service_uid]:
                del self._service_of_name[name]
        self._note_routing(watched, held.service_uid, json.loads(held.text), None)
        self._note(held.service_uid)

    def _note_routing(
        self, watched: Watched, service_uid: str, before: Manifest | None, after: Manifest | None
    ) -> None:
        """Whether a pod has to leave the routing table."""
        if watched is PODS:
            self._on_pod(service_uid, after or before or {}, after is not None)
            if after is None or is_ending(after):
                self._note(service_uid, is_urgent=True).leaving.add(name_of(after or before or {}))
            elif before is not None and is_ready(before) and not is_ready(after):
                self._note(service_uid, is_urgent=True).unready.add(name_of(after))
        elif watched is ENDPOINT_SLICES and before is not None:
            dropped = set(ready_pods(before)) - set(ready_pods(after) if after else ())
            elsewhere = {name for other in self._slices_of(service_uid) for name in ready_pods(other)}
            if dropped - elsewhere:
                self._note(service_uid, is_urgent=True).unready |= dropped - elsewhere

    def _slices_of(self, service_uid: str) -> Iterator[Manifest]:
        for watched, uid in self._of_service.get(service_uid, ()):
            if watched is ENDPOINT_SLICES and uid in self._objects[watched]:
                yield json.loads(self._objects[watched][uid].text)

    def _take_event(self, event: Manifest) -> None:
        event = self._trim(event)
        service_uid = self._service_of(str((event.get("involvedObject") or {}).get("name") or ""))
        if service_uid:
            self._note(service_uid).events[event["metadata"]["uid"]] = event
            return
        self._unclaimed[event["metadata"]["uid"]] = event
        if len(self._unclaimed) > MOST_UNCLAIMED:
            self._unclaimed.popitem(last=False)

    def _service_of(self, name: str) -> str:
        """Whose object has that name: by its own, or by that of what it was made for."""
        for _ in range(GENERATED_PARTS + 1):
            if name in self._service_of_name:
                return self._service_of_name[name]
            name = name.rpartition("-")[0]
        return ""

    def _claim_events(self, name: str) -> None:
        for uid, event in list(self._unclaimed.items()):
            about = str((event.get("involvedObject") or {}).get("name") or "")
            if about.startswith(name) and (service_uid := self._service_of(about)):
                self._note(service_uid).events[uid] = self._unclaimed.pop(uid)

    def _change_of(self, service_uid: str, news: News) -> Change:
        change = Change(
            service_uid, events=list(news.events.values()), leaving=set(news.leaving), unready=set(news.unready)
        )
        for watched, uid in self._of_service.get(service_uid, ()):
            held = self._objects[watched][uid]
            found: dict[str, Any] = json.loads(held.text)
            if watched is PODS:
                change.pods[name_of(found)] = found
            else:
                change.manifests[held.key] = found
        return change


def is_ready(pod: Manifest) -> bool:
    return condition(pod, "Ready").get("status") == "True"


def ready_pods(endpoint_slice: Manifest) -> Iterator[str]:
    """Names of the pods that take traffic; an endpoint that says nothing of itself does."""
    for endpoint in endpoint_slice.get("endpoints") or ():
        if (endpoint.get("conditions") or {}).get("ready") is not False:
            yield str((endpoint.get("targetRef") or {}).get("name") or "")

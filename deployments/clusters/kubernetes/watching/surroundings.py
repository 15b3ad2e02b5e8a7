"""What the watches have said of the cluster around the services: nodes, everybody's claims, quotas, storage."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from deployments.clusters.kubernetes.kinds import Manifest
from deployments.clusters.kubernetes.watching.nodes import (
    Claim,
    by_name,
    claim_of,
    class_fields,
    driver_fields,
    node_fields,
    place_of,
    quota_fields,
    trimmed_node,
)
from deployments.clusters.kubernetes.watching.watched import (
    ALL_PODS,
    CSI_DRIVERS,
    NODES,
    OF_CLUSTER,
    QUOTAS,
    STORAGE_CLASSES,
    Watched,
)


@dataclass(slots=True)
class Surroundings:
    """A ``reflector.Sink`` for them. Safe for threads. Of other people's pods it keeps four numbers each."""

    _held: dict[Watched, dict[str, Any]] = field(default_factory=lambda: {watched: {} for watched in OF_CLUSTER})
    _listed: set[Watched] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _changes: int = 0
    #: Set when nodes took pods otherwise than before; whoever waits for it clears it.
    nodes_moved: threading.Event = field(default_factory=threading.Event)

    def known(self, watched: Watched) -> frozenset[str]:
        with self._lock:
            return frozenset(self._held[watched])

    def replace(self, watched: Watched, objects: Sequence[Manifest], version: str) -> None:
        kept = {str(found["metadata"]["uid"]): keep(watched, found) for found in objects}
        with self._lock:
            self._listed.add(watched)
            if self._held[watched] != kept:
                self._note_places(watched, self._held[watched], kept)
                self._held[watched] = kept
                self._changes += 1

    def put(self, watched: Watched, found: Manifest) -> None:
        uid, kept = str(found["metadata"]["uid"]), keep(watched, found)
        with self._lock:
            before = self._held[watched].get(uid, Claim)
            if before != kept:
                self._note_places(watched, {} if before is Claim else {uid: before}, {uid: kept})
                self._held[watched][uid] = kept
                self._changes += 1

    def remove(self, watched: Watched, found: Manifest) -> None:
        with self._lock:
            uid = str(found["metadata"]["uid"])
            gone = {uid: self._held[watched].pop(uid)} if uid in self._held[watched] else {}
            self._note_places(watched, gone, {})
            self._changes += 1

    def _note_places(self, watched: Watched, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
        if watched is not NODES:
            return
        was, now = ({uid: place_of(node) for uid, node in nodes.items()} for nodes in (before, after))
        if was != now:
            self.nodes_moved.set()

    def reach(self, watched: Watched, version: str) -> None:
        """Nothing is resumed from here."""

    @property
    def changes(self) -> int:
        """Counts them: what was read at the same count is the same."""
        with self._lock:
            return self._changes

    def columns(self) -> Mapping[str, Any]:
        """Of ``ClusterState``."""
        with self._lock:
            held = {watched: list(kept.values()) for watched, kept in self._held.items()}
            knows_claims = ALL_PODS in self._listed
        claims: defaultdict[str, list[Claim]] = defaultdict(list)
        for claim in held[ALL_PODS]:
            if claim is not None:
                claims[claim.node].append(claim)
        drivers = by_name(held[CSI_DRIVERS], driver_fields)
        return {
            "nodes": by_name(
                held[NODES],
                lambda node: node_fields(node, claims[node["metadata"]["name"]] if knows_claims else None),
            ),
            "quotas": by_name(held[QUOTAS], quota_fields),
            "storage_drivers": [*drivers, *by_name(held[STORAGE_CLASSES], class_fields)],
        }


def keep(watched: Watched, found: Manifest) -> Any:
    """What of an object is needed."""
    if watched is ALL_PODS:
        return claim_of(found)
    if watched is NODES:
        return trimmed_node(found)
    return {key: value for key, value in found.items() if key != "metadata"} | {
        "metadata": {key: found["metadata"][key] for key in ("name", "annotations") if key in found["metadata"]}
    }

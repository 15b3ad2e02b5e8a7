"""What is there of a service: from the watcher's rows while they are fresh, else asked of the API server.

A list that fails is an error and never an empty list: absence is only what a whole answer says.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from django.utils import timezone

from deployments.clusters.base import ClusterError
from deployments.clusters.kubernetes.connection import Connection, Selection
from deployments.clusters.kubernetes.kinds import (
    CSI_DRIVER,
    MADE_BY_CLUSTER,
    NODE,
    POD,
    VOLUME,
    WRITTEN,
    Kind,
    Manifest,
    key_of,
)
from deployments.clusters.kubernetes.names import INSTALLATION, SERVICE_UID, selector
from deployments.clusters.kubernetes.reading import labels_of, name_of
from deployments.clusters.kubernetes.store import find_state, find_view, is_fresh, trimmed
from deployments.clusters.overview import NodeFields
from deployments.models import ClusterState

#: What was listed is looked at again so soon after: the steps of one reconcile see the same.
SAME_LOOK_SECONDS = 0.5
#: Nodes and drivers change seldom; without a watcher they are listed this often at most.
SURROUNDINGS_SECONDS = 30.0
#: Of what Slipway may not list there is none, as far as it can make use of it.
NOT_ALLOWED = frozenset({"forbidden", "kind_missing"})


@dataclass(slots=True)
class Known:
    """One service's objects. ``manifests`` and ``pods`` are trimmed, by ``Kind/name`` and by name."""

    manifests: dict[str, Manifest] = field(default_factory=dict)
    pods: dict[str, Manifest] = field(default_factory=dict)
    events: list[Manifest] = field(default_factory=list)
    nodes: Sequence[NodeFields] = ()  # of the cluster, as ``ClusterState`` has them
    is_fresh: bool = False
    listed_at: float = 0.0  # monotonic, of a list
    written: list[Manifest] = field(default_factory=list)  # what the API server answered to our own writes

    def put(self, found: Manifest) -> None:
        if found["kind"] == POD.name:
            self.pods[name_of(found)] = trimmed(found)
        else:
            self.manifests[key_of(found)] = trimmed(found)

    def note(self, answer: Manifest) -> None:
        """An object as it is since we wrote it."""
        self.put(answer)
        self.written.append(answer)

    def find(self, kind: Kind) -> Manifest | None:
        return next((one for one in self.manifests.values() if one["kind"] == kind.name), None)

    def all(self) -> tuple[Manifest, ...]:
        return (*self.manifests.values(), *self.pods.values())


class Looker:
    """Looks for one backend. What it keeps in memory only saves asking twice within one step."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._listed: dict[str, Known] = {}

    def state(self) -> ClusterState | None:
        return find_state(self._connection.settings.key)

    def look(self, service_uid: str) -> Known:
        """Raises ``ClusterError`` where nobody watches and the API server does not answer."""
        listed = self._listed.get(service_uid)
        if listed is not None and time.monotonic() - listed.listed_at < SAME_LOOK_SECONDS:
            return listed
        state = self.state()
        nodes = state.nodes if state is not None else ()
        row = find_view(service_uid)
        if is_fresh(state, timezone.now()):
            if row is None:
                return Known(nodes=nodes, is_fresh=True)
            return Known(row.manifests, row.pods, row.events, nodes, is_fresh=True)
        # Slices and ReplicaSets are made anew by the cluster: they tell nothing but that a deletion is not through.
        known = self.list(service_uid, (*WRITTEN, POD))
        known.events = row.events if row is not None else []
        known.nodes = nodes
        return known

    def list(self, service_uid: str, kinds: Iterable[Kind] = (*WRITTEN, *MADE_BY_CLUSTER)) -> Known:
        """Ask the API server for what there is of a service now."""
        known = Known(listed_at=time.monotonic())
        labels = selector(self._connection.settings.installation, service_uid)
        for kind in kinds:
            for found in self._list(kind, labels):
                known.put(found)
        self._listed[service_uid] = known
        return known

    def forget(self, service_uid: str) -> None:
        """What was listed of a service a moment ago is not so any more."""
        self._listed.pop(service_uid, None)

    def _list(self, kind: Kind, labels: str) -> Iterator[Manifest]:
        try:
            yield from self._connection.list(kind, Selection(labels)).items
        except ClusterError as error:
            # Who may only work in one namespace sees no volumes, and has written none.
            if kind is not VOLUME or error.code not in NOT_ALLOWED:
                raise

    def list_marked(self, labels: str) -> set[str]:
        """Uids of the services that own anything Slipway wrote with these labels."""
        return {
            str(labels_of(found).get(SERVICE_UID, "")) for kind in WRITTEN for found in self._list(kind, labels)
        } - {""}

    def is_ours(self, found: Manifest, service_uid: str) -> bool:
        labels = labels_of(found)
        own = (self._connection.settings.installation, service_uid)
        return (labels.get(INSTALLATION), labels.get(SERVICE_UID)) == own

    def nodes(self) -> tuple[Manifest, ...]:
        """As the API server has them; none where Slipway may not list them."""
        return self._surroundings(NODE)

    def drivers(self) -> frozenset[str]:
        """Names of the storage drivers that can mount volumes."""
        return frozenset(name_of(found) for found in self._surroundings(CSI_DRIVER))

    def _surroundings(self, kind: Kind) -> tuple[Manifest, ...]:
        key = (self._connection.settings.key, kind.name)
        at, found = _surroundings.get(key, (0.0, ()))
        if at and time.monotonic() - at < SURROUNDINGS_SECONDS:
            return found
        try:
            found = self._connection.list(kind).items
        except ClusterError as error:
            if error.code not in NOT_ALLOWED:
                raise
            found = ()
        _surroundings[key] = (time.monotonic(), found)
        return found


#: By cluster and kind: when they were listed (monotonic), and what there was.
_surroundings: dict[tuple[str, str], tuple[float, tuple[Manifest, ...]]] = {}

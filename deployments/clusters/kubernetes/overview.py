"""What the watcher has written of the cluster, as the pages and REST show it. Asks the API server nothing."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from deployments.cluster_models import ClusterState
from deployments.clusters.kubernetes.versions import NEEDED, is_too_old
from deployments.clusters.overview import ClusterOverview, Connection, Health, NodeFields
from deployments.words import join, read_sentence, say

#: A watcher renews its lease well within this; an API server that answers is heard of within it, too.
SILENT_AFTER = timedelta(seconds=30)

NODE_DEFAULTS: dict[str, Any] = {
    "is_ready": False, "is_cordoned": False, "since": "", "reason": "", "free": None, "gpu_product": "",
    "gpu_memory_mib": 0, "labels": {}, "taints": [], "version": "",
}  # fmt: skip


def overview_of(state: ClusterState | None, connection: Connection, now: datetime) -> ClusterOverview:
    """The row as an overview. A health that nobody has confirmed for half a minute is unknown, whatever it was."""
    if state is None:
        unwatched = say("Nobody has looked at the cluster yet. Start manage.py watch_cluster; the supervisor does.")
        return ClusterOverview("kubernetes", "", "unknown", "", unwatched, None, None, (), (), (), connection)
    health, code, message = health_of(state, now)
    return ClusterOverview(
        kind="kubernetes",
        version=state.api_version,
        health=health,
        code=code,
        message=message,
        since=state.health_since if health == state.health else state.answered_at,
        answered_at=state.answered_at,
        nodes=[node_of(one) for one in state.nodes],
        quotas=state.quotas,
        storage=state.storage_drivers,
        connection=connection,
    )


def health_of(state: ClusterState, now: datetime) -> tuple[Health, str, str]:
    """Health, code and sentence now."""
    if state.watcher_until is None or now - state.watcher_until > SILENT_AFTER:
        told = say("Nobody watches the cluster, so what is shown is old.")
        return "unknown", "not_watched", join(told, say("See the log of manage.py watch_cluster."))
    if state.health == ClusterState.Health.FAILING:
        return "failing", state.code, read_sentence(state.message, state.message_words)
    if state.health == ClusterState.Health.OK and state.answered_at and now - state.answered_at <= SILENT_AFTER:
        if is_too_old(state.api_version):
            told = say("The API server is Kubernetes %(version)s.", version=state.api_version)
            return "ok", "version_old", join(told, NEEDED, say("Some of it may fail: upgrade the cluster."))
        return "ok", "", ""
    return "unknown", "silent", say("The API server has not been heard of for a while.")


def node_of(fields: dict[str, Any]) -> NodeFields:
    """A node as it was written, with what an older watcher did not write."""
    found: NodeFields = {**NODE_DEFAULTS, **fields}  # type: ignore[typeddict-item]
    found["taints"] = [{"key": "", "value": "", "effect": "", **one} for one in found["taints"]]
    return found

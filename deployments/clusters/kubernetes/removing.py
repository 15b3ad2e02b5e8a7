"""What of a service's objects is to go now, and what later. Pure.

Instances end first, and what they use stays until then: a stream that is being finished still needs the Service it came
by, a pod its volumes. Every deletion names the UID of what was seen, so that nothing newer of that name is hit.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from deployments.clusters.kubernetes.kinds import (
    AUTOSCALER,
    BUDGET,
    CLAIM,
    DEPLOYMENT,
    POD,
    REPLICA_SET,
    SECRET,
    VOLUME,
    WRITTEN,
    Manifest,
)
from deployments.clusters.kubernetes.reading import is_ending

#: What makes instances, or keeps them from ending.
MAKES_INSTANCES = frozenset({DEPLOYMENT.name, AUTOSCALER.name, BUDGET.name})
#: What instances were made with, and need until they end.
USED_BY_INSTANCES = frozenset({SECRET.name, CLAIM.name, VOLUME.name})
WRITTEN_NAMES = frozenset(kind.name for kind in WRITTEN)


def deletions(there: Collection[Manifest]) -> tuple[Manifest, ...]:
    """The next of a whole service to delete, given all that is there of it."""
    if makers := makers_of(there):
        return not_ending(makers)
    sets = [found for found in there if found["kind"] == REPLICA_SET.name]
    if sets:  # they go with their Deployment, unless somebody took that away alone
        return not_ending(sets)
    pods = [found for found in there if found["kind"] == POD.name]
    if pods:  # nobody owns them any more, or the cluster is about to remove them
        return not_ending(pods)
    return not_ending(found for found in there if found["kind"] in WRITTEN_NAMES)


def makers_of(there: Collection[Manifest]) -> list[Manifest]:
    """What has to go before anything else. Where there is none left, ReplicaSets may be, which nobody watches."""
    return [found for found in there if found["kind"] in MAKES_INSTANCES]


def surplus(there: Mapping[str, Manifest], wanted: Collection[str], *, is_through: bool) -> tuple[Manifest, ...]:
    """What was written for the service and is rendered no more. ``wanted`` and ``there`` are by ``Kind/name``.

    Of what instances use nothing goes before the update ``is_through``: an old instance may be started again.
    """
    return not_ending(
        found
        for key, found in there.items()
        if key not in wanted
        and found["kind"] in WRITTEN_NAMES
        and (is_through or found["kind"] not in USED_BY_INSTANCES)
    )


def not_ending(objects: Iterable[Manifest]) -> tuple[Manifest, ...]:
    return tuple(found for found in objects if not is_ending(found))

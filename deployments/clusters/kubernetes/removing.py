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
MAKES_INSTANCES = frozenset({DEPLOYMENT.name, REPLICA_SET.name, AUTOSCALER.name, BUDGET.name})
#: What instances were made with, and need until they end.
USED_BY_INSTANCES = frozenset({SECRET.name, CLAIM.name, VOLUME.name})
WRITTEN_NAMES = frozenset(kind.name for kind in WRITTEN)


def deletions(there: Collection[Manifest]) -> tuple[Manifest, ...]:
    """The next of a whole service to delete, given all that is there of it."""
    makers = [found for found in there if found["kind"] in MAKES_INSTANCES]
    if makers:
        return not_ending(makers)
    pods = [found for found in there if found["kind"] == POD.name]
    if pods:  # nobody owns them any more, or the cluster is about to remove them
        return not_ending(pods)
    return not_ending(found for found in there if found["kind"] in WRITTEN_NAMES)


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

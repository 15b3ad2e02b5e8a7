"""What is in a namespace at last, without what differs from one making to the next: for comparing two ways there."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from deployments.clusters.kubernetes.connection import Connection, Selection
from deployments.clusters.kubernetes.kinds import MADE_BY_CLUSTER, POD, VOLUME, WRITTEN, Kind, Manifest, key_of
from deployments.clusters.kubernetes.names import MANAGED_BY, REVISION
from deployments.clusters.kubernetes.reading import is_ending, labels_of

#: The cluster's own part of an object, and of its names.
MADE_UP = frozenset(
    {
        "uid", "resourceVersion", "creationTimestamp", "generation", "managedFields", "clusterIP", "clusterIPs",
        "nodePort", "volumeName", "status", "healthCheckNodePort",
    }
)  # fmt: skip
OURS = Selection(f"{MANAGED_BY}=slipway")


def list_ours(connection: Connection, kind: Kind) -> list[Manifest]:
    """Everything any Slipway has made there."""
    found = connection.list(kind, OURS).items
    if kind is VOLUME:
        return [one for one in found if one["spec"]["claimRef"]["namespace"] == connection.namespace]
    return list(found)


def final_objects(connection: Connection) -> dict[str, Any]:
    """By ``Kind/name``: everything Slipway wrote, and of which revisions there are pods."""
    objects: dict[str, Any] = {
        key_of(one): without_made_up(one) for kind in WRITTEN for one in list_ours(connection, kind)
    }
    pods = [one for one in list_ours(connection, POD) if not is_ending(one)]
    return objects | {"pods": sorted(labels_of(one)[REVISION] for one in pods)}


def everything_in(connection: Connection) -> set[str]:
    """Names of all that is left of any service."""
    return {key_of(one) for kind in (*WRITTEN, *MADE_BY_CLUSTER) for one in list_ours(connection, kind)}


def uids_of(connection: Connection, name: str) -> dict[str, str]:
    """Of one service's objects and pods, by ``Kind/name``."""
    kinds = (*WRITTEN, POD)
    found = {key_of(one): one["metadata"]["uid"] for kind in kinds for one in list_ours(connection, kind)}
    return {key: uid for key, uid in found.items() if key.partition("/")[2].startswith(name)}


def without_made_up(part: Any) -> Any:
    if isinstance(part, Mapping):
        kept = {name: without_made_up(value) for name, value in part.items() if name not in MADE_UP}
        if isinstance(kept.get("annotations"), dict):
            kept["annotations"].pop("deployment.kubernetes.io/revision", None)
        return kept
    return [without_made_up(one) for one in part] if isinstance(part, list) else part


def shown(objects: Mapping[str, Any]) -> str:
    return json.dumps(objects, indent=1, sort_keys=True)

"""What of the cluster and of the moment matters to rendering, so that rendering itself asks nobody."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeAlias

#: One Kubernetes object, as JSON.
Manifest: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ClusterFacts:
    """Facts that change seldom: one that flips changes manifests, and a changed pod template restarts pods.

    ``replace``: no node has room for an update's additional instance, so one of the old is to go first.
    """

    has_oss_driver: bool = False
    replace: bool = False
    #: The service's own token, kept in its Secret; "" where it is not known.
    token: str = field(default="", repr=False)

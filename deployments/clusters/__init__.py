"""Clusters: one interface (``base``), and backends that run a service's instances.

Imports nothing at the top: the shims of the local cluster load this package, too, and start fast.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from deployments.clusters.base import Cluster
    from deployments.clusters.passage import Passage


def get_cluster() -> Cluster:
    """The backend that the settings name (``SLIPWAY_CLUSTER``). Cheap; build one whenever it is needed."""
    from django.conf import settings
    from django.core.exceptions import ImproperlyConfigured

    from deployments.clusters.local.backend import LocalCluster
    from deployments.engines import is_recipe_command

    if settings.SLIPWAY_CLUSTER == "kubernetes":
        # Late: the client and its TLS are not for those who run everything here.
        from deployments.clusters.kubernetes.backend import KubernetesCluster

        return KubernetesCluster(settings.SLIPWAY_KUBERNETES)
    if settings.SLIPWAY_CLUSTER != "local":
        raise ImproperlyConfigured(f"SLIPWAY_CLUSTER is {settings.SLIPWAY_CLUSTER!r}; choose local or kubernetes.")
    return LocalCluster(
        settings.SLIPWAY_DATA_DIR,
        commands_policy="any" if settings.SLIPWAY_LOCAL_COMMANDS == "any" else "recipes",
        is_recipe=is_recipe_command,
    )


def find_passage(base_url: str, refused: Passage | None = None) -> Passage:
    """What requests to an instance's base URL carry on their way; most go directly and carry nothing.

    May read files and run a program that renews credentials: not for an event loop. ``refused``: what the server on
    the way does not take, so that other credentials are looked for. Raises ``ClusterError`` where there are none.
    """
    from django.conf import settings

    from deployments.clusters.passage import DIRECT

    if settings.SLIPWAY_CLUSTER != "kubernetes":
        return DIRECT
    from deployments.clusters.kubernetes import proxying  # late: the official client takes half a second to load

    return proxying.find_passage(settings.SLIPWAY_KUBERNETES, base_url, refused)

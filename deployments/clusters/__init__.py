"""Clusters: one interface (``base``), and backends that run a service's instances.

Imports nothing at the top: the shims of the local cluster load this package, too, and start fast.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from deployments.clusters.base import Cluster


def get_cluster() -> Cluster:
    """The backend that the settings name (``SLIPWAY_CLUSTER``). Cheap; build one whenever it is needed."""
    from django.conf import settings
    from django.core.exceptions import ImproperlyConfigured

    from deployments.clusters.local.backend import LocalCluster
    from deployments.engines import is_recipe_command

    if settings.SLIPWAY_CLUSTER != "local":
        raise ImproperlyConfigured(f"SLIPWAY_CLUSTER is {settings.SLIPWAY_CLUSTER!r}; this version runs local.")
    return LocalCluster(
        settings.SLIPWAY_DATA_DIR,
        commands_policy="any" if settings.SLIPWAY_LOCAL_COMMANDS == "any" else "recipes",
        is_recipe=is_recipe_command,
    )

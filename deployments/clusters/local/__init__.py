"""The local cluster: operating-system processes of this machine (design.md, "Clusters"; docs/local-cluster.md).

Nothing here imports Django, and what shims load imports the standard library alone; so this package exports
only what keeps it light. The backend is ``backend.LocalCluster``.
"""

from deployments.clusters.local.stopping import stop_all

__all__ = ["stop_all"]

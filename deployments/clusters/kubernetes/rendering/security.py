"""What pods and containers may not do: as little as their images allow."""

from __future__ import annotations

from deployments.clusters.kubernetes.rendering.facts import Manifest


def pod_security(*, group: int | None) -> Manifest:
    """``group``: volumes of an administrator's belong to it, so that a user who is not root can write them."""
    security: Manifest = {"seccompProfile": {"type": "RuntimeDefault"}}
    if group is not None:
        security |= {"fsGroup": group, "fsGroupChangePolicy": "OnRootMismatch"}
    return security


def container_security(*, user: int | None = None, is_root_read_only: bool = False, non_root: bool = False) -> Manifest:
    """No privilege for anybody. ``user`` is an image's own, known not to be root; ``non_root`` refuses images of which
    nothing is known and that turn out to run as root.
    """
    security: Manifest = {
        "allowPrivilegeEscalation": False,
        "privileged": False,
        "capabilities": {"drop": ["ALL"]},
    }
    if user is not None or non_root:
        security["runAsNonRoot"] = True
    if user is not None:
        security |= {"runAsUser": user, "runAsGroup": user}
    if is_root_read_only:
        security["readOnlyRootFilesystem"] = True
    return security

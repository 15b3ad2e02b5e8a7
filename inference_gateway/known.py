"""What has a name and a token at the gateway: services and groups, as the database has them."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from deployments.encryption import SecretUnreadable, decrypt, digest_of
from deployments.group_models import TrafficMode, TrafficState
from deployments.models import Service, ServiceGroup
from inference_gateway.groups import GroupEntry, Member

logger = logging.getLogger(__name__)


def find_token(name: str, encrypted: str) -> str | None:
    try:
        return decrypt(encrypted)
    except SecretUnreadable as error:
        logger.error("%s: %s", name, error)
        return None


def read_names() -> frozenset[str]:
    """Of all services and groups."""
    groups = ServiceGroup.objects.order_by().values_list("name", flat=True)
    return frozenset(Service.objects.order_by().values_list("name", flat=True).union(groups))


def read_token_digests(known: Mapping[str, str | None]) -> tuple[dict[str, str], dict[str, str | None]]:
    """Name of the service or group behind each token, by the token's digest; and the digests by what was decrypted
    for them.

    ``known`` is the latter of an earlier look: to decrypt all tokens of many services takes long.
    """
    groups = ServiceGroup.objects.order_by().values_list("name", "token_encrypted")
    rows = list(Service.objects.order_by().values_list("name", "token_encrypted").union(groups))
    digests: dict[str, str | None] = {}
    for name, encrypted in rows:
        if encrypted in known:
            digests[encrypted] = known[encrypted]
        else:
            token = find_token(name, encrypted)
            digests[encrypted] = None if token is None else digest_of(token)
    return {digest: name for name, encrypted in rows if (digest := digests[encrypted]) is not None}, digests


def read_group(name: str) -> GroupEntry | None:
    """Look once."""
    row = ServiceGroup.objects.filter(name=name).first()
    if row is None:
        return None
    members = row.members.filter(traffic_state=TrafficState.GROUPING).order_by("name")
    return GroupEntry(
        name=row.name,
        workspace_id=row.workspace_id,
        token=find_token(row.name, row.token_encrypted),
        is_weighted=row.traffic_mode == TrafficMode.CUSTOMIZED,
        members=tuple(Member(one, weight) for one, weight in members.values_list("name", "weight")),
    )

"""What is known of services' objects, kept in ``ClusterView`` rows, and whether that can be relied upon.

The watcher writes what it is told; whoever writes to the cluster adds what the API server answered, so that the next
look, in whatever process, knows of it before the watcher does.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from deployments.clusters.kubernetes.kinds import Manifest, key_of
from deployments.models import ClusterState, ClusterView

#: A watcher whose API server has been silent for longer knows too little.
MOST_SILENCE = timedelta(seconds=30)
DIGEST = "digest:"
#: Annotations that repeat a whole object, a Secret's values with it.
COPIES = ("kubectl.kubernetes.io/last-applied-configuration",)


@lru_cache(maxsize=4)
def digest_key(secret_key: str) -> bytes:
    return hmac.new(secret_key.encode(), b"slipway.kubernetes.secrets.v1", hashlib.sha256).digest()


def digest_of(value: str) -> str:
    """Of a Secret's value in base64: the same for the same value, and says nothing of it without Slipway's key."""
    if value.startswith(DIGEST):
        return value
    return DIGEST + hmac.new(digest_key(settings.SECRET_KEY), value.encode(), hashlib.sha256).hexdigest()


def trimmed(found: Mapping[str, Any]) -> Manifest:
    """An object as it is kept and compared: without who owns which field, and without a Secret's values."""
    metadata = {name: value for name, value in found["metadata"].items() if name != "managedFields"}
    annotations = metadata.get("annotations") or {}
    if any(name in annotations for name in COPIES):
        metadata["annotations"] = {name: value for name, value in annotations.items() if name not in COPIES}
    kept: Manifest = {**found, "metadata": metadata}
    if found.get("kind") == "Secret":
        plain = kept.pop("stringData", None) or {}
        values = {**(found.get("data") or {}), **{name: in_base64(value) for name, value in plain.items()}}
        kept["data"] = {name: digest_of(value) for name, value in values.items()}
    return kept


def in_base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def find_state(key: str) -> ClusterState | None:
    return ClusterState.objects.filter(key=key).first()


def is_fresh(state: ClusterState | None, now: datetime) -> bool:
    """Whether a watcher is at work that has listed everything and hears the API server."""
    if state is None or state.watcher_until is None or state.listed_at is None or state.answered_at is None:
        return False
    return state.watcher_until > now and state.answered_at > now - MOST_SILENCE


def find_view(service_uid: str) -> ClusterView | None:
    return ClusterView.objects.filter(service_uid=service_uid).first()


def remember(service_uid: str, written: Sequence[Manifest]) -> None:
    """Note what the API server answered to writes. What is known to be newer stays."""
    with transaction.atomic():
        row, _ = ClusterView.objects.select_for_update().get_or_create(
            service_uid=service_uid, defaults={"changed_at": timezone.now()}
        )
        manifests = dict(row.manifests)
        for found in written:
            key = key_of(found)
            if key not in manifests or version_of(found) >= version_of(manifests[key]):
                manifests[key] = trimmed(found)
        if manifests != row.manifests:
            ClusterView.objects.filter(pk=row.pk).update(
                manifests=manifests, changed_at=timezone.now(), version=F("version") + 1
            )


def version_of(found: Mapping[str, Any]) -> int:
    """Resource versions grow, and are compared as numbers (KEP-5504)."""
    version = str((found.get("metadata") or {}).get("resourceVersion") or "")
    return int(version) if version.isdecimal() else 0

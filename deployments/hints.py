"""Hints to open pages and gateways that something changed: a topic and a version, never the data itself.

The channel layer drops messages when it is full, and may be away: whoever listens refetches, and looks again
by itself now and then. So a hint that cannot be sent is logged and forgotten.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from django.db import transaction

if TYPE_CHECKING:
    from deployments.models import Service

logger = logging.getLogger(__name__)
GROUP = "hints"
MEMBERS = "members"
KEYS = "keys"


def hint_service(service: Service) -> None:
    """Tell listeners, once the transaction is committed, that this service changed."""
    topic = f"service:{service.name}"
    transaction.on_commit(lambda: send_hint(topic), robust=True)


def hint_group(name: str) -> None:
    """Tell gateways, once the transaction is committed, that this group changed, came or went."""
    topic = f"group:{name}"
    transaction.on_commit(lambda: send_hint(topic), robust=True)


def hint_person(user_id: int) -> None:
    """Tell this person's open pages, once the transaction is committed, to look again at what they may see."""
    topic = f"person:{user_id}"
    transaction.on_commit(lambda: send_hint(topic), robust=True)


def hint_members() -> None:
    """Tell open pages of members, once the transaction is committed, that somewhere somebody came, went or changed."""
    transaction.on_commit(lambda: send_hint(MEMBERS), robust=True)


def hint_keys() -> None:
    """Tell gateways, once the transaction is committed, that some API key or what may be used changed."""
    transaction.on_commit(lambda: send_hint(KEYS), robust=True)


def send_hint(topic: str) -> None:
    """Send one hint now: ``{"type": "hint", "topic": …, "version": nanoseconds}`` to the group ``hints``."""
    layer = get_channel_layer()
    if layer is None:
        return
    try:
        async_to_sync(layer.group_send)(GROUP, {"type": "hint", "topic": topic, "version": time.time_ns()})
    except Exception as error:  # an edge: the bus may be down, and nothing depends on it
        logger.warning("hint %s was not sent: %s", topic, error)

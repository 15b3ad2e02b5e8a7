"""Deleted conversations: brought back for thirty days, then gone (console.md §6 "Conversations")."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.contrib.auth.models import User
from django.utils import timezone

from deployments.models import Service
from inference_gateway.models import Conversation, ConversationQuerySet

KEPT = timedelta(days=30)
MOST_LISTED = 200
#: A conversation may hold thousands of turns: so many are removed in one transaction.
AT_ONCE = 20


def binned_conversations(user: User, service: Service) -> ConversationQuerySet:
    """A person's deleted conversations with a service that can still be brought back, last deleted first."""
    rows = Conversation.objects.filter(
        owner=user,
        service_name=service.name,
        workspace_id=service.workspace_id,
        source=Conversation.Source.WEB,
        deleted_at__gte=timezone.now() - KEPT,
    )
    return rows.order_by("-deleted_at")


def empty_bin(now: datetime) -> int:
    """Remove what was deleted more than thirty days ago, with all its turns. Returns how many conversations."""
    removed = 0
    while True:
        old = list(Conversation.objects.filter(deleted_at__lt=now - KEPT).values_list("pk", flat=True)[:AT_ONCE])
        if not old:
            return removed
        Conversation.objects.filter(pk__in=old, deleted_at__lt=now - KEPT).delete()
        removed += len(old)

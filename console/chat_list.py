"""The list beside the web chat: pinned conversations, the others by day, what a search found, the bin."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.contrib.auth.models import User
from django.db.models import Case, F, IntegerField, Value, When
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from deployments.models import Service
from inference_gateway.models import Conversation
from inference_gateway.webchat.turns import conversations_of

CONVERSATIONS_A_PAGE = 50
MOST_PINNED = 20


@dataclass(frozen=True, slots=True)
class Group:
    """Conversations under one word: Pinned, or a day."""

    word: str
    conversations: list[Conversation]


@dataclass(frozen=True, slots=True)
class ConversationList:
    """One page of the list. ``before`` is where the next one begins, None at the end."""

    groups: list[Group]
    before: str | None
    current: Conversation | None = None

    @property
    def conversations(self) -> list[Conversation]:
        return [one for group in self.groups for one in group.conversations]


def list_conversations(
    user: User, service: Service, before: str | None = None, current: UUID | None = None
) -> ConversationList:
    """The pinned ones and fifty others, newest first, by day; and the conversation ``current``, in one query.

    ``before`` is what an earlier call returned: it goes on after that row also when others moved to the top.
    """
    rows = conversations_of(user, service).filter(source=Conversation.Source.WEB)
    is_first = before is None or (instant := parse_instant(before)) is None
    if not is_first:
        rows = rows.filter(updated_at__lt=instant, pinned_at=None)
    is_current = Case(When(pk=current, then=Value(0)), default=Value(1), output_field=IntegerField())
    ordered = rows.annotate(order=is_current).order_by(
        "order", F("pinned_at").desc(nulls_last=True), "-updated_at", "-pk"
    )
    found = list(ordered[: 1 + MOST_PINNED + CONVERSATIONS_A_PAGE + 1])
    here = found[0] if found and found[0].pk == current else None
    # The one on the page came first, wherever it belongs.
    pinned = sorted((one for one in found if one.pinned_at is not None), key=pinned_order, reverse=True)
    others = sorted((one for one in found if one.pinned_at is None), key=newest_order, reverse=True)
    shown = others[:CONVERSATIONS_A_PAGE]
    groups = [Group(_("Pinned"), pinned)] if pinned else []
    groups += by_day(shown, timezone.localtime(timezone.now()))
    following = shown[-1].updated_at.isoformat() if len(others) > len(shown) else None
    return ConversationList(groups, following, here)


def newest_order(conversation: Conversation) -> tuple[datetime, UUID]:
    return conversation.updated_at, conversation.pk


def pinned_order(conversation: Conversation) -> tuple[datetime, UUID]:
    return conversation.pinned_at or conversation.updated_at, conversation.pk


def parse_instant(text: str) -> datetime | None:
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        return None
    return instant if instant.tzinfo is not None else None


def by_day(conversations: Iterable[Conversation], now: datetime) -> list[Group]:
    """Grouped under Today, Yesterday and dates. Pure."""
    days: list[Group] = []
    for conversation in conversations:
        word = day_word(timezone.localtime(conversation.updated_at), now)
        if not days or days[-1].word != word:
            days.append(Group(word, []))
        days[-1].conversations.append(conversation)
    return days


def day_word(instant: datetime, now: datetime) -> str:
    if instant.date() == now.date():
        return _("Today")
    if instant.date() == (now - timedelta(days=1)).date():
        return _("Yesterday")
    return date_format(instant, "DATE_FORMAT")


def pin(conversation: Conversation, *, is_pinned: bool) -> bool:
    """Keep it at the top of its owner's list, or no longer; twice is fine. False: too many are pinned already."""
    own = Conversation.objects.filter(
        owner_id=conversation.owner_id,
        service_name=conversation.service_name,
        workspace_id=conversation.workspace_id,
        deleted_at=None,
    )
    if is_pinned and conversation.pinned_at is None and own.exclude(pinned_at=None).count() >= MOST_PINNED:
        return False
    if is_pinned != (conversation.pinned_at is not None):
        conversation.pinned_at = timezone.now() if is_pinned else None
        Conversation.objects.filter(pk=conversation.pk).update(pinned_at=conversation.pinned_at)
    return True

"""Conversations and their turns: what was asked of a service and what it answered, finished or cut off.

Written by the web chat, by the WebSocket gateway, and by the HTTP gateway for requests that name a
conversation. Text lives here and in no log.
"""

from __future__ import annotations

import uuid

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser, User
from django.db import models
from django.utils import timezone

from deployments.models import Service, Workspace
from deployments.words import read_sentence, translated
from inference_gateway.monitoring.models import Sample
from inference_gateway.usage_models import UsageEvent, UsageHour, UsageSpool

__all__ = ["Caller", "Conversation", "PromptPreset", "Sample", "Turn", "UsageEvent", "UsageHour", "UsageSpool"]

TITLE_LENGTH = 80
PRESET_NAME_LENGTH = 60


class ConversationQuerySet(models.QuerySet["Conversation"]):
    def owned_by(self, user: AbstractBaseUser | AnonymousUser) -> ConversationQuerySet:
        """A person's own conversations that are not deleted; nobody sees another's."""
        if not user.is_authenticated:
            return self.none()
        return self.filter(owner_id=user.pk, deleted_at=None)


class Conversation(models.Model):
    """One dialogue with one service. It outlives the service, whose name it keeps."""

    class Source(models.TextChoices):
        """Where it was begun: in the web chat, by a program over HTTP, or by a WebSocket connection."""

        WEB = "web"
        API = "api"
        WEBSOCKET = "websocket"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    service = models.ForeignKey(Service, null=True, on_delete=models.SET_NULL, related_name="conversations")
    service_name = models.CharField(max_length=63)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="conversations")
    #: The person whose web chat it is; None where a service's token began it.
    owner = models.ForeignKey(User, null=True, blank=True, on_delete=models.CASCADE, related_name="+")
    title = models.CharField(max_length=200, blank=True, default="")
    source = models.CharField(max_length=16, choices=Source.choices)
    system_prompt = models.TextField(blank=True, default="")
    parameters = models.JSONField(blank=True, default=dict)
    created_at = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField(default=timezone.now)
    deleted_at = models.DateTimeField(null=True, blank=True)
    #: Kept at the top of its owner's list since then.
    pinned_at = models.DateTimeField(null=True, blank=True)

    objects = ConversationQuerySet.as_manager()

    class Meta:
        ordering = ("-updated_at",)
        indexes = (
            models.Index(fields=("owner", "service_name", "-updated_at")),
            models.Index(fields=("service", "-updated_at")),
            models.Index(fields=("deleted_at",), condition=~models.Q(deleted_at=None), name="conversations_in_the_bin"),
        )

    def __str__(self) -> str:
        return str(self.pk)


class Turn(models.Model):
    """One question of a conversation and its answer as far as it came. Numbers start at 1, never reused."""

    class Status(models.TextChoices):
        """``generating`` until it ends in exactly one of the others.

        ``stopped``: somebody stopped it or left. ``interrupted``: the server went away while it ran.
        ``failed``: the engine or the way to it failed; ``error_code`` says how.
        """

        GENERATING = "generating"
        FINISHED = "finished"
        STOPPED = "stopped"
        INTERRUPTED = "interrupted"
        FAILED = "failed"

    conversation = models.ForeignKey(Conversation, on_delete=models.CASCADE, related_name="turns")
    number = models.PositiveIntegerField()
    #: The turn that this one goes on from; None for the first.
    parent = models.ForeignKey("self", null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    question = models.TextField()
    answer = models.TextField(blank=True, default="")
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.GENERATING)
    error_code = models.CharField(max_length=64, blank=True, default="")
    #: The sentence that people saw with it, with the cure.
    error_message = models.TextField(blank=True, default="")
    #: What that sentence is made of (deployments.words), to say it in the reader's language.
    error_words = models.JSONField(blank=True, default=list)
    finish_reason = models.CharField(max_length=32, blank=True, default="")
    prompt_tokens = models.PositiveIntegerField(null=True, blank=True)
    completion_tokens = models.PositiveIntegerField(null=True, blank=True)
    first_token_ms = models.PositiveIntegerField(null=True, blank=True)
    duration_ms = models.PositiveIntegerField(null=True, blank=True)
    revision_number = models.PositiveIntegerField(null=True, blank=True)
    #: Oldest rounds that the model did not see, for its context was full.
    rounds_left_out = models.PositiveIntegerField(default=0)
    parameters = models.JSONField(blank=True, default=dict)
    #: Names one run of generating; who writes the answer writes only while it is still theirs.
    generation = models.UUIDField(default=uuid.uuid4)
    created_at = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ("number",)
        constraints = (models.UniqueConstraint(fields=("conversation", "number"), name="turn_numbers_once"),)
        indexes = (models.Index(fields=("status", "updated_at")),)

    def __str__(self) -> str:
        return f"{self.conversation_id}#{self.number}"

    @property
    def error_sentence(self) -> str:
        """``error_message`` in the active language."""
        return translated(read_sentence(self.error_message, self.error_words))


class PromptPreset(models.Model):
    """A system prompt that a person keeps under a name, for all of their chats. Names differ by more than case."""

    owner = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    name = models.CharField(max_length=PRESET_NAME_LENGTH)
    #: The name as it is compared: databases fold the case of ASCII, or of nothing.
    folded_name = models.CharField(max_length=2 * PRESET_NAME_LENGTH)
    text = models.TextField()

    class Meta:
        ordering = ("folded_name",)
        constraints = (models.UniqueConstraint(fields=("owner", "folded_name"), name="preset_names_once"),)

    def __str__(self) -> str:
        return self.name


class Caller(models.Model):
    """A program that called a service with its token: from where, and what it calls itself."""

    service = models.ForeignKey(Service, on_delete=models.CASCADE, related_name="callers")
    address = models.CharField(max_length=64)
    agent = models.CharField(max_length=120, blank=True)
    calls = models.PositiveBigIntegerField(default=0)
    first_at = models.DateTimeField(default=timezone.now)
    last_at = models.DateTimeField()

    class Meta:
        ordering = ("-last_at",)
        constraints = (models.UniqueConstraint(fields=("service", "address", "agent"), name="callers_once"),)
        indexes = (models.Index(fields=("service", "-last_at")),)

    def __str__(self) -> str:
        return f"{self.address} {self.agent}".strip()

"""What Slipway remembers: workspaces and people's rights, services, revisions, events, instances, audit.

A service row says what is *wanted*; ``Instance`` rows are what was last *seen* and are rebuilt by reconcile.
``Service.status`` is written by ``deployments.status`` alone.
"""

from __future__ import annotations

import secrets
import string
from typing import Any

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser, User
from django.db import models
from django.db.models import Q
from django.utils import timezone

from deployments.chronicle import Notice, ServiceEvent, StartStep
from deployments.cluster_models import ClusterMark, ClusterState, ClusterView
from deployments.group_models import Grouped, ServiceGroup
from deployments.key_models import ApiKey, Limited
from deployments.log_models import KeptLog, LogChunk
from deployments.person_models import OneTimePassword, SignIn
from deployments.spec import ServiceSpec, SpecInvalid
from deployments.words import read_sentence

__all__ = [
    "AccessKey",
    "ApiKey",
    "AuditEntry",
    "ClusterMark",
    "ClusterState",
    "ClusterView",
    "Desired",
    "Instance",
    "KeptLog",
    "Limited",
    "LogChunk",
    "Membership",
    "Notice",
    "OneTimePassword",
    "PersonalToken",
    "Preferences",
    "Revision",
    "Role",
    "Service",
    "ServiceEvent",
    "ServiceGroup",
    "ServiceQuerySet",
    "SignIn",
    "StartStep",
    "Status",
    "UsedNonce",
    "Workspace",
    "new_access_key_id",
    "new_service_uid",
]

UID_LETTERS = string.ascii_lowercase + string.digits
KEY_LETTERS = string.ascii_letters + string.digits


class Role(models.TextChoices):
    """What a member may do: viewers see status and chat, operators change, owners also manage members."""

    OWNER = "owner"
    OPERATOR = "operator"
    VIEWER = "viewer"


class Workspace(Limited):
    """Everything that belongs to someone belongs to one of these. The limits count for all who call its services."""

    slug = models.SlugField(max_length=63, unique=True)
    name = models.CharField(max_length=120)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        return self.slug


class Membership(Limited):
    """One person's role in one workspace, and the limits of what they and their keys may use in it."""

    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="memberships")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=16, choices=Role.choices)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = (models.UniqueConstraint(fields=("workspace", "user"), name="one_role_a_workspace"),)

    def __str__(self) -> str:
        return f"{self.user_id} {self.role} of {self.workspace_id}"


class Preferences(models.Model):
    """What a person chose for themselves, the same in every browser. Without a row: nothing was chosen yet."""

    user = models.OneToOneField(User, on_delete=models.CASCADE, related_name="preferences")
    #: One of ``settings.LANGUAGES``; "" follows the browser.
    language = models.CharField(max_length=16, blank=True, default="")
    #: "" follows the system.
    theme = models.CharField(max_length=16, blank=True, default="")
    density = models.CharField(max_length=16, blank=True, default="")
    #: Whether single keys are shortcuts (WCAG 2.1.4 wants a way to switch them off).
    single_keys = models.BooleanField(default=True)
    chat_follows_always = models.BooleanField(default=False)
    #: Whether Ctrl Enter sends a chat message and Enter breaks the line.
    chat_sends_with_ctrl = models.BooleanField(default=False)

    def __str__(self) -> str:
        return f"preferences of {self.user_id}"


class PersonalToken(models.Model):
    """A program's way in for one person. The secret is shown once; its digest is kept."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="personal_tokens")
    name = models.CharField(max_length=120)
    digest = models.CharField(max_length=64, unique=True)
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("-created_at",)

    def __str__(self) -> str:
        return self.name


def new_access_key_id() -> str:
    """Shaped as Alibaba's, ``LTAI`` and 20 letters or digits."""
    return "LTAI" + "".join(secrets.choice(KEY_LETTERS) for _ in range(20))


class AccessKey(models.Model):
    """An id and a secret that sign one person's requests (sdk-wire.md §1).

    A signature is checked with the secret itself, so it is encrypted, not hashed. Revoking forgets it; the row stays
    a while, so that a program that still uses the key is told why it is refused.
    """

    key_id = models.CharField(max_length=32, unique=True, default=new_access_key_id)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="access_keys")
    name = models.CharField(max_length=120)
    secret_encrypted = models.TextField()  # "" once revoked
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("-created_at", "-pk")

    def __str__(self) -> str:
        return self.key_id


class UsedNonce(models.Model):
    """A signed request that was taken, remembered until its date alone would refuse it.

    A row and not an entry of the cache: a restart that empties the cache must not let old requests in again.
    """

    access_key = models.ForeignKey(AccessKey, on_delete=models.CASCADE, related_name="+")
    nonce = models.CharField(max_length=128)
    expires_at = models.DateTimeField(db_index=True)

    class Meta:
        constraints = (models.UniqueConstraint(fields=("access_key", "nonce"), name="nonces_once"),)

    def __str__(self) -> str:
        return self.nonce


class Status(models.TextChoices):
    """A service's status in EAS's words (eas.md §4.3). ``deployments.status`` draws who writes which."""

    CREATING = "Creating"
    WAITING = "Waiting"
    RUNNING = "Running"
    UPDATING = "Updating"
    SCALING = "Scaling"
    STOPPING = "Stopping"
    STOPPED = "Stopped"
    STARTING = "Starting"
    DELETING = "Deleting"
    DELETE_FAILED = "DeleteFailed"
    FAILED = "Failed"


class Desired(models.TextChoices):
    """What the operator wants of a service as a whole."""

    RUNNING = "running"
    STOPPED = "stopped"
    DELETED = "deleted"


class ServiceQuerySet(models.QuerySet["Service"]):
    def visible_to(self, user: AbstractBaseUser | AnonymousUser) -> ServiceQuerySet:
        """The services a person may see: those of their workspaces; an administrator sees all."""
        if not user.is_authenticated:
            return self.none()
        if getattr(user, "is_superuser", False):
            return self
        return self.filter(workspace__memberships__user_id=user.pk)


def new_service_uid() -> str:
    """Shaped as EAS's service ids, ``eas-m-`` and 12 letters or digits."""
    return "eas-m-" + "".join(secrets.choice(UID_LETTERS) for _ in range(12))


class Service(Grouped):
    """One service: what is wanted of it, and Slipway's verdict on what is there."""

    uid = models.CharField(max_length=32, unique=True, default=new_service_uid)
    name = models.CharField(max_length=63, unique=True)  # global: it is the gateway's path
    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, related_name="services")
    created_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField(default=timezone.now)

    desired = models.CharField(max_length=16, choices=Desired.choices, default=Desired.RUNNING)
    wanted_revision = models.ForeignKey("Revision", null=True, on_delete=models.SET_NULL, related_name="+")
    serving_revision = models.ForeignKey("Revision", null=True, on_delete=models.SET_NULL, related_name="+")
    wanted_instances = models.PositiveIntegerField(default=1)
    #: Counts restarts asked for; instances of another number are replaced one by one.
    restart_number = models.PositiveIntegerField(default=0)
    settled_restart_number = models.PositiveIntegerField(default=0)
    #: Counts every change of what is wanted; status updates are conditional on it.
    generation = models.PositiveIntegerField(default=1)

    status = models.CharField(max_length=16, choices=Status.choices, default=Status.CREATING)
    reason = models.CharField(max_length=64, blank=True, default="")  # a stable code
    message = models.TextField(blank=True, default="")
    message_words = models.JSONField(default=list, blank=True)  # what it was made of (``deployments.words``)
    status_since = models.DateTimeField(default=timezone.now)
    #: When what is wanted last changed, or the last failure was cured: waiting is counted from here.
    progress_since = models.DateTimeField(default=timezone.now)

    token_encrypted = models.TextField()
    token_made_at = models.DateTimeField(default=timezone.now)

    observed_at = models.DateTimeField(null=True, blank=True)
    next_check_at = models.DateTimeField(default=timezone.now)
    #: When a look was asked for that is not over yet; None: none was.
    asked_at = models.DateTimeField(null=True, blank=True)
    lease_holder = models.CharField(max_length=120, blank=True, default="")
    lease_until = models.DateTimeField(null=True, blank=True)

    objects = ServiceQuerySet.as_manager()

    class Meta:
        ordering = ("-created_at", "-pk")
        indexes = (
            models.Index(fields=("workspace", "-created_at")),
            models.Index(fields=("status",)),
            models.Index(fields=("next_check_at",)),
            models.Index(fields=("asked_at",), condition=models.Q(asked_at__isnull=False), name="service_asked_at"),
            models.Index(fields=("-updated_at",)),
        )

    def __str__(self) -> str:
        return self.name

    @property
    def sentence(self) -> str:
        """``message`` as it can be said in the reader's language."""
        return read_sentence(self.message, self.message_words)

    @property
    def document(self) -> dict[str, Any]:
        """The wanted document as an operator would write it today: scaling shows, the token does not."""
        assert self.wanted_revision is not None
        document = dict(self.wanted_revision.document)
        document["metadata"] = {**document["metadata"], "instance": self.wanted_instances}
        return document

    def spec(self) -> ServiceSpec:
        """The wanted document, parsed. It was valid when it was stored; raises ``SpecInvalid`` where newer rules
        refuse it.
        """
        return ServiceSpec.parse(self.document)

    def find_spec(self) -> ServiceSpec | None:
        """The same, or None for a document that newer rules refuse."""
        try:
            return self.spec()
        except SpecInvalid:
            return None


class Revision(models.Model):
    """An immutable version of a service's document. Numbers start at 1 and are never reused."""

    service = models.ForeignKey(Service, on_delete=models.CASCADE, related_name="revisions")
    number = models.PositiveIntegerField()
    document = models.JSONField()
    author = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    reason = models.CharField(max_length=500, blank=True, default="")
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ("-number",)
        constraints = (models.UniqueConstraint(fields=("service", "number"), name="revision_numbers_once"),)

    def __str__(self) -> str:
        return f"r{self.number}"


class Instance(models.Model):
    """One instance as reconcile last saw it; the gateway routes to rows that are ready and not stopping."""

    service = models.ForeignKey(Service, on_delete=models.CASCADE, related_name="instances")
    name = models.CharField(max_length=80, unique=True)
    revision_number = models.PositiveIntegerField()
    restart_number = models.PositiveIntegerField(default=0)
    phase = models.CharField(max_length=16)  # clusters.base.InstancePhase
    host = models.CharField(max_length=255, blank=True, default="")
    port = models.PositiveIntegerField(default=0)
    #: Where HTTP reaches it, where that is not http://host:port.
    base_url = models.CharField(max_length=500, blank=True, default="")
    node = models.CharField(max_length=255, blank=True, default="")
    gpus = models.PositiveIntegerField(default=0)
    created_at = models.DateTimeField(default=timezone.now)
    started_at = models.DateTimeField(null=True, blank=True)
    #: When it first answered as the program that runs now; None until then, and again after a restart.
    ready_at = models.DateTimeField(null=True, blank=True)
    step = models.CharField(max_length=300, blank=True, default="")
    step_words = models.JSONField(default=list, blank=True)
    stage = models.CharField(max_length=16, blank=True, default="")  # ``stages.Stage``
    stage_since = models.DateTimeField(null=True, blank=True)
    restart_count = models.PositiveIntegerField(default=0)
    #: How often its program had ended when it last answered; more since then count towards a crash loop.
    ends_when_ready = models.PositiveIntegerField(default=0)
    last_exit_code = models.IntegerField(null=True, blank=True)
    last_exit_reason = models.CharField(max_length=64, blank=True, default="")
    last_exit_message = models.TextField(blank=True, default="")
    last_exit_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name

    @property
    def step_sentence(self) -> str:
        """``step`` as it can be said in the reader's language."""
        return read_sentence(self.step, self.step_words)

    @classmethod
    def routable(cls) -> Q:
        """The condition for taking new requests."""
        return Q(ready_at__isnull=False, phase="Running")


class AuditEntry(models.Model):
    """Who changed what, from what, to what. Secrets never appear; a changed one is named as changed."""

    #: None where it concerns none, or one that is gone: what happened in it stays known to administrators.
    workspace = models.ForeignKey(Workspace, null=True, on_delete=models.SET_NULL, related_name="audit_entries")
    actor = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    actor_name = models.CharField(max_length=150)
    action = models.CharField(max_length=64)
    target = models.CharField(max_length=120)
    before = models.JSONField(null=True, blank=True)
    after = models.JSONField(null=True, blank=True)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ("-created_at", "-pk")
        indexes = (models.Index(fields=("workspace", "-created_at")), models.Index(fields=("actor", "-created_at")))

    def __str__(self) -> str:
        return f"{self.actor_name} {self.action} {self.target}"

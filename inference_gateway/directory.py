"""What the gateway knows of each service: token, engine, limits, status and the instances to route to.

Read from the database in one short look and kept in memory. What is kept is used for half a second, and
dropped at once by a hint; so a rotated token or a draining instance is gone within a second even while the
bus is down. While the database is down the last look goes on counting: nothing can change then either.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections import OrderedDict
from dataclasses import dataclass, field

from channels.layers import get_channel_layer
from django.db import DatabaseError

from deployments.addresses import direct_url
from deployments.encryption import SecretUnreadable, decrypt, digest_of
from deployments.engines.commands import container_words, match_program
from deployments.hints import GROUP
from deployments.models import Desired, Instance, Revision, Service
from deployments.spec import ServiceSpec, SpecInvalid
from deployments.spec.names import NAME_PATTERN
from inference_gateway.chat import ChatError
from inference_gateway.codecs.eas import PAGE_DEFAULTS, EasDefaults
from inference_gateway.database import in_database
from inference_gateway.runtime.flags import FlagError
from inference_gateway.runtime.flags import parse as parse_flags

logger = logging.getLogger(__name__)

#: How old a look may be.
FRESH_SECONDS = 0.5
#: How far apart looks are that a refusal asks for: one is worth its query, a flood of them is not.
REFUSAL_APART_SECONDS = 0.05
#: Names remembered, those that do not exist among them.
MAX_NAMES = 5000
#: Redis forgets a group's member after a day.
REJOIN_SECONDS = 3600.0
BUS_RETRY_SECONDS = 1.0
RUNTIME_SCRIPTS = ("webui/webui_server.py", "api/api_server.py")


@dataclass(frozen=True, slots=True)
class Route:
    """One instance that takes new requests."""

    instance: str
    host: str
    port: int
    revision_number: int
    base_url: str = ""  # where that is not at its host and port

    @property
    def address(self) -> str:
        """Its base URL, without a slash at the end."""
        return self.base_url or direct_url(self.host, self.port)


@dataclass(frozen=True, slots=True)
class Traits:
    """What a revision's document says about its traffic. Revisions never change, so this is kept."""

    engine: str | None
    keepalive_seconds: float
    concurrency_limit: int | None
    eas_defaults: EasDefaults


#: Of a service whose document cannot be read. It has no routes.
UNREADABLE = Traits(engine=None, keepalive_seconds=600.0, concurrency_limit=None, eas_defaults=PAGE_DEFAULTS)


@dataclass(frozen=True, slots=True)
class ServiceEntry:
    """One look at one service."""

    id: int
    uid: str
    name: str
    workspace_id: int
    token: str | None = field(repr=False)  # None: it cannot be decrypted, so nobody has it
    traits: Traits
    is_stopped: bool
    wanted_instances: int
    status: str
    message: str
    routes: tuple[Route, ...]


def read_service(name: str) -> ServiceEntry | None:
    """Look once. A service being deleted is looked at like any other; it has no routes."""
    row = Service.objects.select_related("wanted_revision", "serving_revision").filter(name=name).first()
    if row is None:
        return None
    revision = row.serving_revision or row.wanted_revision
    if revision is None:
        return None
    ready = Instance.objects.filter(Instance.routable(), service=row).exclude(port=0)
    traits = _remember_traits(revision)
    return ServiceEntry(
        id=row.pk,
        uid=row.uid,
        name=row.name,
        workspace_id=row.workspace_id,
        token=find_token(row.name, row.token_encrypted),
        traits=traits or UNREADABLE,
        is_stopped=row.desired == Desired.STOPPED,
        wanted_instances=row.wanted_instances,
        status=row.status,
        message=row.message if traits else "This version refuses its document. Update the service with a correct one.",
        routes=tuple(Route(one.name, one.host, one.port, one.revision_number, one.base_url) for one in ready)
        if row.desired == Desired.RUNNING and traits
        else (),
    )


def find_token(name: str, encrypted: str) -> str | None:
    try:
        return decrypt(encrypted)
    except SecretUnreadable as error:
        logger.error("service %s: %s", name, error)
        return None


def read_token_digests() -> dict[str, str]:
    """Name of the service behind each token, by the token's digest."""
    rows = Service.objects.values_list("name", "token_encrypted")
    tokens = {name: find_token(name, encrypted) for name, encrypted in rows}
    return {digest_of(token): name for name, token in tokens.items() if token is not None}


_traits: OrderedDict[tuple[int, float], Traits] = OrderedDict()


def _remember_traits(revision: Revision) -> Traits | None:
    """None for a document that was stored under older rules and is refused now."""
    key = (revision.pk, revision.created_at.timestamp())
    if key not in _traits:
        try:
            _traits[key] = read_traits(ServiceSpec.parse(revision.document))
        except SpecInvalid as error:
            logger.error("revision %s: its document is refused: %s", revision.pk, error)
            return None
        if len(_traits) > MAX_NAMES:
            _traits.popitem(last=False)
    return _traits[key]


def read_traits(spec: ServiceSpec) -> Traits:
    defaults = read_eas_defaults(spec) if spec.engine == "chat-llm" else PAGE_DEFAULTS
    return Traits(spec.engine, spec.keepalive_seconds, spec.concurrency_limit, defaults)


def read_eas_defaults(spec: ServiceSpec) -> EasDefaults:
    """What the flags of the service's command make of fields that a request leaves out (eas.md §1.7)."""
    for words in container_words(spec.document["containers"][0]):
        program_length = max(match_program(words, ("python", script)) for script in RUNTIME_SCRIPTS)
        if program_length:
            arguments = [word.replace("$PORT", str(spec.container.port)) for word in words[program_length:]]
            try:
                return parse_flags(arguments, {}).render_eas_defaults()
            except FlagError as error:
                logger.info("service %s: %s", spec.name, error)
    return PAGE_DEFAULTS


class _Slot:
    """One name: the last look, when it began, and the one under way."""

    def __init__(self) -> None:
        self.entry: ServiceEntry | None = None
        self.read_at = -math.inf
        self.doubted_at = -math.inf
        self.look: asyncio.Task[None] | None = None


class Directory:
    """Looks services up, each at most once at a time."""

    def __init__(self) -> None:
        self._slots: OrderedDict[str, _Slot] = OrderedDict()
        self._names_by_digest: dict[str, str] = {}
        self._digests_read_at = -math.inf
        self._digests_lock = asyncio.Lock()

    async def find(self, name: str, max_age_seconds: float = FRESH_SECONDS) -> ServiceEntry | None:
        """The service of that name, looked at within ``max_age_seconds``; 0 means from now on.

        Raises ChatError 503 where there is no database and nothing is remembered.
        """
        if not NAME_PATTERN.fullmatch(name):
            return None
        slot = self._slots.setdefault(name, _Slot())
        self._slots.move_to_end(name)
        if len(self._slots) > MAX_NAMES:
            self._slots.popitem(last=False)
        oldest = time.monotonic() - max_age_seconds
        while slot.read_at < max(oldest, slot.doubted_at):
            if slot.look is None:
                slot.look = asyncio.create_task(self._look(name, slot))
            await asyncio.shield(slot.look)  # others may be waiting for the same look
        return slot.entry

    async def find_again(self, name: str) -> ServiceEntry | None:
        """As ``find`` from now on, before somebody is refused: what has just changed counts.

        Whoever asks within ``REFUSAL_APART_SECONDS`` of the last look waits for the rest, and shares the next.
        """
        asked_at = time.monotonic()
        slot = self._slots.get(name)
        if slot is not None:
            await asyncio.sleep(max(0.0, slot.read_at + REFUSAL_APART_SECONDS - asked_at))
        return await self.find(name, time.monotonic() - asked_at)

    async def find_by_token(self, token: str) -> ServiceEntry | None:
        """The service that has this token. The caller checks the token against the entry all the same."""
        async with self._digests_lock:
            if time.monotonic() - self._digests_read_at > FRESH_SECONDS:
                began_at = time.monotonic()
                self._names_by_digest = await in_database(read_token_digests)
                self._digests_read_at = began_at
        name = self._names_by_digest.get(digest_of(token))
        return None if name is None else await self.find(name)

    def doubt(self, topic: str) -> None:
        """A hint came: looks from before now no longer count. Topics that are no service's are ignored."""
        kind, _, name = topic.partition(":")
        if kind == "service":
            self._digests_read_at = -math.inf
            if (slot := self._slots.get(name)) is not None:
                slot.doubted_at = time.monotonic()

    def doubt_all(self) -> None:
        """Hints may have been missed."""
        self._digests_read_at = -math.inf
        for slot in self._slots.values():
            slot.doubted_at = time.monotonic()

    async def follow_hints(self) -> None:
        """Listen to the bus until cancelled. Without it the directory is as right, only a little slower."""
        has_failed = False
        while True:
            try:
                await self._listen()
            except Exception as error:  # an edge: whatever the bus's client raises, the next try may work
                if not has_failed:
                    logger.warning("Hints are not heard, looking every %s s: %s", FRESH_SECONDS, error)
                has_failed = True
                await asyncio.sleep(BUS_RETRY_SECONDS)
            else:
                has_failed = False

    async def _listen(self) -> None:
        """Join the group and pass hints on; returns when it is time to join again."""
        layer = get_channel_layer()
        if layer is None:
            raise RuntimeError("no channel layer is configured")
        channel = await layer.new_channel("gateway")
        await layer.group_add(GROUP, channel)
        self.doubt_all()
        rejoin_at = time.monotonic() + REJOIN_SECONDS
        try:
            while (left := rejoin_at - time.monotonic()) > 0:
                # Not wait_for, which in Python 3.11 loses a cancellation that comes together with a message.
                async with asyncio.timeout(left):
                    message = await layer.receive(channel)
                self.doubt(str(message.get("topic", "")))
        except TimeoutError:
            return
        finally:
            await layer.group_discard(GROUP, channel)

    async def _look(self, name: str, slot: _Slot) -> None:
        began_at = time.monotonic()
        try:
            slot.entry = await in_database(read_service, name)
            slot.read_at = began_at
        except DatabaseError as error:
            logger.error("service %s: the database did not answer: %s", name, error)
            if slot.read_at == -math.inf:
                message = "The service could not be looked up: the database does not answer. Try again soon."
                raise ChatError(503, "database_unavailable", message) from error
            slot.read_at = slot.doubted_at = time.monotonic()
        finally:
            slot.look = None

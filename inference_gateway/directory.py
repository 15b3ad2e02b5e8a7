"""What the gateway knows of each service: token, engine, limits, status and the instances to route to; and of groups.

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
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field

from django.db import DatabaseError

from deployments.addresses import direct_url
from deployments.encryption import digest_of
from deployments.engines.commands import container_words, match_program
from deployments.models import Desired, Instance, Revision, Service
from deployments.spec import ServiceSpec, SpecInvalid
from deployments.spec.gateway_policy import GatewayPolicy
from deployments.spec.names import NAME_PATTERN
from inference_gateway.chat import ChatError
from inference_gateway.codecs.eas import PAGE_DEFAULTS, EasDefaults
from inference_gateway.database import in_database
from inference_gateway.groups import GroupEntry
from inference_gateway.key_rows import make_token_principal
from inference_gateway.known import find_token, read_group, read_names, read_token_digests
from inference_gateway.model_facts import ModelFacts, read_model_facts
from inference_gateway.principals import Principal
from inference_gateway.queueing import QueueBound, read_bound
from inference_gateway.runtime.flags import FlagError
from inference_gateway.runtime.flags import parse as parse_flags

logger = logging.getLogger(__name__)

#: How old a look may be.
FRESH_SECONDS = 0.5
#: Looks that refusals may ask for, of one service and of the names: so many at once, and so many a second in a flood.
REFUSALS_AT_ONCE = 10.0
REFUSALS_PER_SECOND = 1.0
#: Names remembered, those that do not exist among them.
MAX_NAMES = 5000
RUNTIME_SCRIPTS = ("webui/webui_server.py", "api/api_server.py")


@dataclass(frozen=True, slots=True)
class Route:
    """One instance that takes new requests."""

    instance: str
    host: str
    port: int
    revision_number: int
    base_url: str = ""  # where that is not at its host and port
    #: Its base URL, without a slash at the end.
    address: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "address", self.base_url or direct_url(self.host, self.port))


@dataclass(frozen=True, slots=True)
class Traits:
    """What a revision's document says about its traffic. Revisions never change, so this is kept."""

    engine: str | None
    keepalive_seconds: float
    eas_defaults: EasDefaults = PAGE_DEFAULTS
    policy: GatewayPolicy = field(default_factory=GatewayPolicy)
    queue: QueueBound | None = None
    #: Requests a second for each ready instance (``metadata.rpc.rate_limit``); 0 is no limit.
    instance_rate: int = 0
    facts: ModelFacts = field(default_factory=ModelFacts)
    #: Whether requests are counted against a limit of the document, or wait in a queue of ours.
    is_bounded: bool = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        limits = (
            self.queue,
            self.instance_rate or None,
            self.policy.requests_per_second,
            self.policy.concurrency_limit,
        )
        object.__setattr__(self, "is_bounded", any(limit is not None for limit in limits))


#: Of a service whose document cannot be read. It has no routes.
UNREADABLE = Traits(engine=None, keepalive_seconds=600.0)


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
    principal: Principal  # of who calls with ``token``


#: What a name stands for.
Entry = ServiceEntry | GroupEntry


def read_entry(name: str) -> Entry | None:
    """Look once at what has this name."""
    return read_service(name) or read_group(name)


def read_service(name: str) -> ServiceEntry | None:
    """Look once. A service being deleted is looked at like any other; it has no routes."""
    row = Service.objects.select_related("wanted_revision", "serving_revision", "workspace").filter(name=name).first()
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
        principal=make_token_principal(row.workspace),
    )


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
    return Traits(
        spec.engine,
        spec.keepalive_seconds,
        defaults,
        spec.gateway_policy,
        read_bound(spec.rpc),
        spec.rpc.rate_limit,
        read_model_facts(spec),
    )


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
        self.entry: Entry | None = None
        self.read_at = -math.inf
        self.doubted_at = -math.inf
        self.look: asyncio.Task[None] | None = None
        self._again_left = REFUSALS_AT_ONCE
        self._again_at = time.monotonic()

    def counts(self, oldest: float) -> bool:
        """Whether the last look was not before ``oldest``, nor before somebody doubted it."""
        return self.read_at >= max(oldest, self.doubted_at)

    def take_again(self) -> bool:
        """Whether one more refusal may ask for a look."""
        now = time.monotonic()
        self._again_left = min(REFUSALS_AT_ONCE, self._again_left + (now - self._again_at) * REFUSALS_PER_SECOND)
        self._again_at = now
        if self._again_left < 1:
            return False
        self._again_left -= 1
        return True

    def give_again(self) -> None:
        """The look that was taken found what was asked for."""
        self._again_left = min(REFUSALS_AT_ONCE, self._again_left + 1)


class Directory:
    """Looks services up, each at most once at a time.

    How often it looks does not depend on how many are refused: names that are none are told by a list of all names,
    and refusals ask for few looks of their own.
    """

    def __init__(self) -> None:
        self._slots: OrderedDict[str, _Slot] = OrderedDict()
        #: All names, and the look at them; its ``entry`` is not used.
        self._names: frozenset[str] = frozenset()
        self._naming = _Slot()
        self._names_by_digest: dict[str, str] = {}
        self._digests: dict[str, str | None] = {}
        self._digesting = _Slot()
        self._digests_read_at = -math.inf
        self._digests_lock = asyncio.Lock()

    async def find(self, name: str, max_age_seconds: float = FRESH_SECONDS) -> ServiceEntry | None:
        """The service of that name. See ``find_entry``."""
        entry = await self.find_entry(name, max_age_seconds)
        return entry if isinstance(entry, ServiceEntry) else None

    async def find_entry(self, name: str, max_age_seconds: float = FRESH_SECONDS) -> Entry | None:
        """The service or group of that name, looked at within ``max_age_seconds``; 0 means from now on.

        Raises ChatError 503 where there is no database and nothing is remembered.
        """
        slot = self._slots.get(name)
        if slot is not None and slot.counts(time.monotonic() - max_age_seconds):
            self._slots.move_to_end(name)
            return slot.entry
        if not NAME_PATTERN.fullmatch(name):
            return None
        if name not in self._slots and name not in self._names:
            await self._wait_for(self._naming, self._look_at_names, max_age_seconds)
            if name not in self._names and not await self._is_new(name):
                return None
        slot = self._slots.setdefault(name, _Slot())
        self._slots.move_to_end(name)
        if len(self._slots) > MAX_NAMES:
            self._slots.popitem(last=False)
        await self._wait_for(slot, lambda: self._look(name, slot), max_age_seconds)
        return slot.entry

    def peek(self, name: str) -> Entry | None:
        """What has that name, if it is known and no look is due; the next look is begun before it is."""
        slot, now = self._slots.get(name), time.monotonic()
        if slot is None or not slot.counts(now - FRESH_SECONDS):
            return None
        if slot.look is None and slot.read_at < now - FRESH_SECONDS / 2:
            slot.look = asyncio.create_task(self._look(name, slot))
        return slot.entry

    async def find_again(self, name: str) -> Entry | None:
        """As ``find_entry`` from now on, before somebody is refused: what has just changed counts.

        In a flood of refusals, past ``REFUSALS_AT_ONCE``, most are judged by what is known, or by the look that is
        under way; hints make that as new.
        """
        slot = self._slots.get(name)
        if slot is not None and slot.take_again():
            return await self.find_entry(name, 0.0)
        if slot is not None and slot.look is not None:
            await asyncio.shield(slot.look)
        return await self.find_entry(name)

    async def _is_new(self, name: str) -> bool:
        """Whether a name that was none a moment ago is one now. In a flood of such names few are looked for."""
        if not self._naming.take_again():
            if self._naming.look is not None:
                await asyncio.shield(self._naming.look)
            return name in self._names
        await self._wait_for(self._naming, self._look_at_names, 0.0)
        if name not in self._names:
            return False
        self._naming.give_again()  # nobody is refused
        return True

    async def _wait_for(
        self, slot: _Slot, look: Callable[[], Coroutine[None, None, None]], max_age_seconds: float
    ) -> None:
        oldest = time.monotonic() - max_age_seconds
        while not slot.counts(oldest):
            if slot.look is None:
                slot.look = asyncio.create_task(look())
            await asyncio.shield(slot.look)  # others may be waiting for the same look

    async def find_by_token(self, token: str) -> Entry | None:
        """The service or group that has this token. The caller checks the token against the entry all the same.

        A token that is not known may be new: it is looked for once more, as ``find_again`` does.
        """
        asked_at, digest = time.monotonic(), digest_of(token)
        name = await self._find_name(digest, asked_at - FRESH_SECONDS)
        if name is None and self._digesting.take_again():
            name = await self._find_name(digest, asked_at)
            if name is not None:
                self._digesting.give_again()
        return None if name is None else await self.find_entry(name)

    async def _find_name(self, digest: str, read_after: float) -> str | None:
        """The name behind a token's digest, by a look at all of them from ``read_after`` on."""
        async with self._digests_lock:
            if self._digests_read_at < read_after:
                began_at = time.monotonic()
                self._names_by_digest, self._digests = await in_database(read_token_digests, self._digests)
                self._digests_read_at = began_at
        return self._names_by_digest.get(digest)

    def doubt(self, topic: str) -> None:
        """A hint came: looks from before now no longer count. Topics of neither services nor groups are ignored."""
        kind, _, name = topic.partition(":")
        if kind in ("service", "group"):
            self._digests_read_at = -math.inf
            self._naming.doubted_at = time.monotonic()
            if (slot := self._slots.get(name)) is not None:
                slot.doubted_at = time.monotonic()

    def doubt_all(self) -> None:
        """Hints may have been missed."""
        self._digests_read_at = -math.inf
        for slot in (self._naming, *self._slots.values()):
            slot.doubted_at = time.monotonic()

    async def _look(self, name: str, slot: _Slot) -> None:
        began_at = time.monotonic()
        try:
            slot.entry = await in_database(read_entry, name)
            slot.read_at = began_at
        except DatabaseError as error:
            logger.error("service %s: the database did not answer: %s", name, error)
            put_up_with(slot, error)
        finally:
            slot.look = None

    async def _look_at_names(self) -> None:
        slot, began_at = self._naming, time.monotonic()
        try:
            self._names = await in_database(read_names)
            slot.read_at = began_at
        except DatabaseError as error:
            logger.error("the names of services and groups: the database did not answer: %s", error)
            put_up_with(slot, error)
        finally:
            slot.look = None


def put_up_with(slot: _Slot, error: DatabaseError) -> None:
    """The last look goes on counting; without one, ChatError 503."""
    if slot.read_at == -math.inf:
        message = "The service could not be looked up: the database does not answer. Try again soon."
        raise ChatError(503, "database_unavailable", message) from error
    slot.read_at = slot.doubted_at = time.monotonic()

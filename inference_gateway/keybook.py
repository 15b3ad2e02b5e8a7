"""What the gateway knows of API keys: looked up by their digest, kept for half a second, dropped at once by a hint.

What was made up is refused by its seal, without a look (gateway.md §5.3, 4). Keys that are asked for while a look is
under way share the next one, so there is one query at a time however many keys are in use; and who is none is
remembered as such. A service's own token never comes here.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections import OrderedDict
from dataclasses import replace
from functools import lru_cache

from django.db import DatabaseError

from deployments.api_keys import PREFIX, is_sealed
from deployments.encryption import digest_of
from deployments.hints import KEYS, MEMBERS
from inference_gateway.authentication import find_authorization, find_bearer
from inference_gateway.calls import Call
from inference_gateway.chat import ChatError
from inference_gateway.codecs import JSON_TYPE
from inference_gateway.codecs.xinference import render_list
from inference_gateway.database import in_database
from inference_gateway.descriptions import describe_briefly
from inference_gateway.directory import Directory, ServiceEntry
from inference_gateway.groups import GroupEntry
from inference_gateway.http import send_body
from inference_gateway.key_rights import check_counts, check_scope, may_call, scope_needed
from inference_gateway.key_rows import KeyEntry, read_callable, read_keys, read_session_principal, write_uses
from inference_gateway.principals import Principal

logger = logging.getLogger(__name__)

#: How old a look may be.
FRESH_SECONDS = 0.5
#: Keys remembered, those that are none among them.
MAX_KEYS = 5000
WRITE_EVERY_SECONDS = 2.0


#: Of those who ask again and again.
_remember_digest = lru_cache(maxsize=1024)(digest_of)


class _Slot:
    """One digest: the last look at it, and when that began."""

    __slots__ = ("entry", "is_lost", "read_at")

    def __init__(self) -> None:
        self.entry: KeyEntry | None = None
        self.read_at = -math.inf
        self.is_lost = False  # the database did not answer, and nothing is remembered


class Keybook:
    """One a process."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._slots: OrderedDict[str, _Slot] = OrderedDict()
        self._wanted: dict[str, _Slot] = {}
        self._look: asyncio.Task[None] | None = None
        self._doubted_at = -math.inf
        self._used: dict[int, float] = {}

    async def find(self, secret: str) -> KeyEntry | None:
        """The key with this secret, whether or not it counts; None for what is none.

        Raises ChatError 503 where there is no database and nothing is remembered.
        """
        digest = digest_of(secret)
        slot = self._slots.get(digest)
        if slot is None:
            if not is_sealed(secret):
                return None
            slot = self._slots[digest] = _Slot()
            if len(self._slots) > MAX_KEYS:
                self._slots.popitem(last=False)
        else:
            self._slots.move_to_end(digest)
        slot.is_lost = False
        oldest = time.monotonic() - FRESH_SECONDS
        while slot.read_at < max(oldest, self._doubted_at):
            self._wanted[digest] = slot
            if self._look is None:
                self._look = asyncio.create_task(self._read())
            await asyncio.shield(self._look)  # others may be waiting for the same look
            if slot.is_lost:
                message = "The API key could not be looked up: the database does not answer. Try again soon."
                raise ChatError(503, "database_unavailable", message)
        return slot.entry

    def peek(self, secret: str) -> KeyEntry | None:
        """The key with this secret, if it is known and no look is due; the next look is begun before it is."""
        digest, now = _remember_digest(secret), time.monotonic()
        slot = self._slots.get(digest)
        if slot is None or slot.is_lost or slot.read_at < max(now - FRESH_SECONDS, self._doubted_at):
            return None
        if slot.read_at < now - FRESH_SECONDS / 2:
            self._wanted[digest] = slot
            if self._look is None:
                self._look = asyncio.create_task(self._read())
        return slot.entry

    def note_use(self, entry: KeyEntry) -> None:
        """It was presented now."""
        self._used[entry.id] = time.time()

    async def find_presented(self, call: Call) -> KeyEntry | None:
        """The key that a request came with; None where it came with something else.

        Raises ChatError 401 for a key that counts no more.
        """
        secret = find_bearer(find_authorization(call.scope))
        if secret is None or not secret.startswith(PREFIX):
            return None
        entry = await self.find(secret)
        if entry is not None:
            check_counts(entry)
            self.note_use(entry)
        return entry

    async def admit(self, call: Call, service: ServiceEntry) -> bool:
        """Let a request in that came with a key for this service, as its owner's; False where it came with none.

        Raises ChatError 401 for a key that counts no more, 403 for one that is not for this service or this request.
        """
        entry = await self.find_presented(call)
        if entry is None:
            return False
        if not may_call(entry, service):
            message = f"This API key is not for {service.name}. GET /v1/models names the services that it is for."
            raise ChatError(403, "service_not_allowed", message)
        is_socket = call.scope["type"] == "websocket"
        is_language_model = service.traits.engine is not None
        needed = scope_needed(call.target, call.method, is_socket=is_socket, is_language_model=is_language_model)
        check_scope(entry, needed)
        call.principal = entry.principal
        return True

    async def answer_list(self, call: Call, entry: KeyEntry) -> None:
        """``GET /v1/models``: every service and every group that the key may call."""
        described = []
        for name in await in_database(read_callable, entry):
            service = await self._find_callable(name, entry)
            if service is not None:
                described.append(describe_briefly(service, service.traits.facts.context_tokens))
        await send_body(call.answer, 200, render_list(described), JSON_TYPE)

    async def _find_callable(self, name: str, entry: KeyEntry) -> ServiceEntry | None:
        """The service of that name; of a group the member that has the most instances, under the group's name.

        None where the key is for no such service, or no such member of the group takes its requests.
        """
        found = await self._directory.find_entry(name)
        if not isinstance(found, GroupEntry):
            return found if found is not None and may_call(entry, found) else None
        members = [await self._directory.find(member.name) for member in found.members]
        allowed = [one for one in members if one is not None and may_call(entry, one)]
        if not allowed or found.workspace_id != entry.principal.workspace_id:
            return None
        return replace(max(allowed, key=lambda one: len(one.routes)), name=found.name)

    async def refuse_nameless(self, call: Call) -> None:
        """Raise ChatError 400 or 405 for a key where a service's own token would have named the service."""
        if await self.find_presented(call) is None:
            return
        if call.target.is_carried_flat:
            message = "An API key names no service. Call the route below one, /api/predict/ and its name, or name "
            raise ChatError(400, "model_missing", f"{message}it in model, a form's before its file.", "model")
        call.headers += ((b"allow", b"POST, OPTIONS"),)
        raise ChatError(405, "method_not_allowed", f"{call.method} is not answered here. Use POST.")

    def doubt(self, topic: str) -> None:
        """See ``Doubting``. A person's rights are part of what a key may do."""
        if topic in (KEYS, MEMBERS) or topic.startswith("person:"):
            self._doubted_at = time.monotonic()

    def doubt_all(self) -> None:
        """See ``Doubting``."""
        self._doubted_at = time.monotonic()

    async def keep(self) -> None:
        """Write when keys were used last, again and again, until cancelled."""
        while True:
            await asyncio.sleep(WRITE_EVERY_SECONDS)
            await self.write()

    async def write(self) -> None:
        """Write it now; what could not be written is tried again with the next."""
        used, self._used = self._used, {}
        if not used:
            return
        try:
            await in_database(write_uses, used)
        except Exception:  # an edge: the database may be away for a moment
            logger.warning("when API keys were used last could not be written; it is tried again", exc_info=True)
            self._used = used | self._used

    async def _read(self) -> None:
        wanted, self._wanted = self._wanted, {}
        began_at = time.monotonic()
        try:
            found = await in_database(read_keys, wanted.keys())
            for digest, slot in wanted.items():
                slot.entry, slot.read_at = found.get(digest), began_at
        except DatabaseError as error:
            logger.error("API keys: the database did not answer: %s", error)
            for slot in wanted.values():
                # The last look goes on counting: nothing can change while there is no database.
                slot.is_lost = slot.read_at == -math.inf
                slot.read_at = slot.read_at if slot.is_lost else time.monotonic()
        finally:
            self._look = None


async def find_session_principal(user_id: int, service: ServiceEntry) -> Principal:
    """On whose account the web chat asks a service for a person: one look at the database."""
    return await in_database(read_session_principal, user_id, service.workspace_id)

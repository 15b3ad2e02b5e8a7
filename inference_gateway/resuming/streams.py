"""The streamed answers of one server process: each gets its name, and some outlive their connection.

Who lost a connection asks again below the service, ``/.slipway/generations/<id>?offset=<bytes>``, or sends the question
again with ``Last-Event-ID``; either with the credentials that the question had.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import aclosing
from dataclasses import replace
from urllib.parse import parse_qs

from django.conf import settings
from redis.exceptions import RedisError

from inference_gateway.calls import Call, refuse
from inference_gateway.chat import ChatError
from inference_gateway.directory import ServiceEntry
from inference_gateway.http import ClientGoneError, find_header, run_until_disconnect
from inference_gateway.principals import Principal
from inference_gateway.resuming.framing import Dialect, render_ending
from inference_gateway.resuming.naming import (
    GENERATION_HEADER,
    LAST_EVENT,
    RESUMABLE_HEADER,
    ROUTE,
    Names,
    find_event_id,
    read_offset,
)
from inference_gateway.resuming.reading import TOLD_SECONDS, ElsewhereReading, HereReading, Reading
from inference_gateway.resuming.resumable import Budget, Reader, Resumable, State, Title, ending_of, gone, past_end
from inference_gateway.resuming.store import READ, STOP, Store
from inference_gateway.targets import Kind
from inference_gateway.wire import WIRE

logger = logging.getLogger(__name__)

WRITE_EVERY_SECONDS = 0.1
#: How often another process is told to stop an answer, and looked at whether it has.
STOP_LOOKS = 10
#: So many answers without a connection are as many as one process runs; further ones end with theirs.
MOST_RUNNING = 2000
#: An answer that could not be stored is kept here for so long.
UNSTORED_SECONDS = 600.0
EVENT_STREAM = "text/event-stream"

Answering = Callable[[], Awaitable[object]]


class Streams:
    """Make it in the event loop of the server, run ``keep`` beside the requests, ``close`` it after them."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._names = Names()
        self._kept: dict[str, Resumable] = {}
        self._has_kept = asyncio.Event()
        self._ended_at: dict[str, float] = {}
        self._budget = Budget()
        self._is_store_away = False
        #: What is dropped is not written again behind that.
        self._writing = asyncio.Lock()

    async def answer(self, call: Call, service: ServiceEntry, answering: Answering) -> None:
        """Answer a streamed question by ``answering``, which uses ``call``, with or without the call's connection.

        Raises what ``answering`` does where the answer ends with the connection.
        """
        generation = self._names.choose()
        call.headers += ((GENERATION_HEADER, generation.encode("ascii")),)
        grace = service.traits.policy.resume_seconds
        if not grace:
            await answering()
            return
        dialect = dialect_of(call.target.kind, service)
        title = Title(generation, find_owner(call, service), dialect)
        one = self.keep_apart(title, service, has_ids=wants_ids(call, dialect))
        if one is None:
            await answering()
            return
        call.headers += ((RESUMABLE_HEADER, str(grace).encode("ascii")),)
        connection = replace(call)
        # What its connection has to do with it goes by the reader.
        extensions = {name: value for name, value in call.scope.get("extensions", {}).items() if name != WIRE}
        call.scope = {**call.scope, "extensions": extensions}
        call.receive, call.send = one.receive, one.send
        with one.read_from(0) as reader:
            self.start(one, answer_detached(call, answering))
            await run_until_disconnect(self._pass_first(connection, one, reader), connection.receive)

    def choose_name(self) -> str:
        """For what has several answers."""
        return self._names.choose()

    def keep_apart(self, title: Title, service: ServiceEntry, *, has_ids: bool = False) -> Resumable | None:
        """A place for an answer apart from its connection, to be given to ``start``; None where there is none."""
        grace = service.traits.policy.resume_seconds
        if not grace or len(self._kept) >= MOST_RUNNING:
            return None
        one = self._kept[title.id] = Resumable(title, grace, self._budget, has_ids=has_ids)
        self._has_kept.set()
        return one

    def start(self, one: Resumable, answering: Coroutine[object, object, object]) -> None:
        one.start(answering, self._note_over)

    async def _pass_first(self, call: Call, one: Resumable, reader: Reader) -> None:
        """The answer to the connection that asked for it."""
        head = await reader.wait_begun()
        if head is None:
            await refuse(call, ending_of(one.state))
            return
        await call.send(head)  # it is dressed already
        while piece := await reader.read():
            await call.send({"type": "http.response.body", "body": piece, "more_body": True})
        told = b"" if one.state is State.FINISHED else render_ending(one.title.dialect, one.tail, ending_of(one.state))
        await call.send({"type": "http.response.body", "body": told})

    # Asking again

    async def serve(self, call: Call, service: ServiceEntry) -> None:
        """What ``is_resuming`` says yes to. By its path: GET the rest of a generation, DELETE to stop and forget it.

        Raises ChatError: 400, 404, 410, 416, 503.
        """
        if call.target.kind is not Kind.GENERATION:
            event = find_event_id(find_header(call.scope, LAST_EVENT))
            assert event is not None
            await call.read()
            await self._resume(call, service, *event)
            return
        match = ROUTE.fullmatch(call.target.rest)
        if match is None:
            raise not_found()
        if call.method == "GET":
            await self._resume(call, service, match[1], find_offset(call, match[1]))
            return
        if call.method == "DELETE":
            await self.stop(match[1], find_owner(call, service))
            await self._drop(match[1])
        else:
            call.headers += ((b"allow", b"GET, DELETE, OPTIONS"),)
            if call.method != "OPTIONS":
                raise ChatError(405, "method_not_allowed", f"{call.method} is not answered here. Use GET or DELETE.")
        await call.answer({"type": "http.response.start", "status": 204, "headers": []})
        await call.answer({"type": "http.response.body", "body": b""})

    async def _resume(self, call: Call, service: ServiceEntry, generation: str, offset: int) -> None:
        """Send the bytes of a generation from ``offset`` on, as they come."""
        reading = await self.find(generation, find_owner(call, service), offset)
        if reading.title.dialect is Dialect.SOCKET:
            raise not_found()
        await run_until_disconnect(pass_reading(call, reading), call.receive)

    async def find(self, generation: str, owner: str, offset: int) -> Reading:
        """A generation of this owner's from an offset on. Raises ChatError: 404, 410, 416, 503."""
        one = self._kept.get(generation)
        if one is not None and one.is_kept:
            if one.title.owner != owner:
                raise not_found()
            return HereReading(one, offset)
        try:
            stored = await self._store.look(generation, offset)
            if stored is None:  # it may have begun a moment ago
                await asyncio.sleep(3 * WRITE_EVERY_SECONDS)
                stored = await self._store.look(generation, offset)
        except RedisError as error:
            logger.warning("generation %s could not be looked for: %s", generation, type(error).__name__)
            raise unavailable() from error
        if stored is None or stored.title.owner != owner:
            raise not_found()
        if stored.has_gap:
            raise gone()
        if stored.state is State.FINISHED and offset > stored.end:
            raise past_end(stored.end)
        return ElsewhereReading(self._store, stored, offset)

    async def stop(self, generation: str, owner: str) -> None:
        """End it, on whichever process it runs, and wait until that has ended it. Raises as ``find``."""
        await self.find(generation, owner, 0)
        one = self._kept.get(generation)
        if one is not None:
            await one.stop()
            return
        try:
            for _ in range(STOP_LOOKS):
                stored = await self._store.look(generation, 0)
                if (
                    stored is None
                    or stored.state is not State.RUNNING
                    or not await self._store.is_alive(stored.process)
                ):
                    return
                await self._store.ask(stored.process, STOP, generation)
                await asyncio.sleep(WRITE_EVERY_SECONDS)
        except RedisError as error:
            raise unavailable() from error

    async def _drop(self, generation: str) -> None:
        one = self._kept.get(generation)
        try:
            async with self._writing:
                if one is not None:
                    self._forget(one)
                await self._store.drop(generation)
        except RedisError as error:
            logger.warning("generation %s could not be dropped: %s", generation, type(error).__name__)

    # The store

    async def keep(self) -> None:
        """Until cancelled: while there are any, store what is new, ten times a second, and hear what readers
        elsewhere want.
        """
        while True:
            if not self._kept:
                self._has_kept.clear()
            await self._has_kept.wait()
            await asyncio.sleep(WRITE_EVERY_SECONDS if not self._is_store_away else 1.0)
            if self._kept:
                async with self._writing:
                    await self._write()

    async def close(self) -> None:
        """The server ends: what still runs is interrupted, and all of it is stored."""
        running = [one for one in self._kept.values() if not one.is_over]
        await asyncio.gather(*(one.stop(State.INTERRUPTED) for one in running))
        async with self._writing:
            await self._write()
        await self._store.close()

    async def _write(self) -> None:
        new = [one for one in self._kept.values() if one.is_kept and is_new(one)]
        try:
            asked = await self._store.write(new)
        except (RedisError, OSError) as error:
            if not self._is_store_away:
                logger.warning("Answers are not stored at present: %s", type(error).__name__)
            self._is_store_away = True
            self._drop_unstored()
            return
        self._is_store_away = False
        for kind, generation in asked:
            one = self._kept.get(generation)
            if one is not None and kind == READ:
                one.note_reader_elsewhere(TOLD_SECONDS)
            elif one is not None and kind == STOP:
                one.give_up(State.STOPPED)
        for one in [one for one in self._kept.values() if one.is_over and not is_new(one)]:
            self._forget(one)

    def _drop_unstored(self) -> None:
        oldest = asyncio.get_running_loop().time() - UNSTORED_SECONDS
        for one in [one for one in self._kept.values() if self._ended_at.get(one.title.id, oldest) < oldest]:
            self._forget(one)

    def _note_over(self, one: Resumable) -> None:
        if one.is_kept:
            self._ended_at[one.title.id] = asyncio.get_running_loop().time()
        else:
            self._forget(one)

    def _forget(self, one: Resumable) -> None:
        self._kept.pop(one.title.id, None)
        self._ended_at.pop(one.title.id, None)
        one.release()


def is_new(one: Resumable) -> bool:
    """Whether the store does not have all of it."""
    return one.end > one.stored or (one.is_over and not one.is_told)


def open_streams() -> Streams:
    return Streams(Store(settings.SLIPWAY_REDIS_URL))


def answer_detached(call: Call, answering: Answering) -> Coroutine[object, object, object]:
    """The answer, or the refusal, of a call whose ``send`` keeps it."""

    async def run() -> None:
        try:
            await answering()
        except ClientGoneError:
            return
        except ChatError as error:
            await refuse(call, error)

    return run()


async def pass_reading(call: Call, reading: Reading) -> None:
    """A generation as the answer to a call that asks for it."""
    given = {name for name, _ in call.headers}
    headers = [header for header in reading.headers if header[0] not in given]
    await call.answer({"type": "http.response.start", "status": 200, "headers": headers})
    try:
        async with aclosing(reading.pieces()) as pieces:
            async for piece in pieces:
                await call.send({"type": "http.response.body", "body": piece, "more_body": True})
        if reading.state is None:
            return
        told = b""
        if reading.state is not State.FINISHED:
            told = render_ending(reading.title.dialect, await reading.read_tail(), ending_of(reading.state))
    except RedisError as error:
        # Returning drops the connection, and whoever wants the rest asks again.
        logger.warning("generation %s could not be followed: %s", reading.title.id, type(error).__name__)
        return
    await call.send({"type": "http.response.body", "body": told})


def find_owner(call: Call, service: ServiceEntry) -> str:
    """Who may ask for the generation of a call. What was asked of a group is its, whichever member answers now."""
    assert call.principal is not None  # nobody was let in without
    group = call.group
    return owner_of(call.principal, service.uid if group is None else f"group {group.workspace_id} {group.name}")


def owner_of(principal: Principal, asked: str) -> str:
    """Whoever asked the question, of the same service or group."""
    return f"{asked}:{principal.proof}:{principal.key_id}:{principal.person_id}"


def wants_ids(call: Call, dialect: Dialect) -> bool:
    """Whether the caller says that it reads server-sent events. Of others some take each line for data."""
    if dialect not in (Dialect.OPENAI, Dialect.ANTHROPIC):
        return False
    return EVENT_STREAM in (find_header(call.scope, b"accept") or "").lower()


def is_resuming(call: Call, service: ServiceEntry) -> bool:
    """Whether a request is for a generation begun before: by its path, or as a question sent again with
    ``Last-Event-ID``.
    """
    if call.target.kind is Kind.GENERATION:
        return True
    if not service.traits.policy.resume_seconds or call.method != "POST" or call.target.kind is Kind.OTHER:
        return False
    return find_event_id(find_header(call.scope, LAST_EVENT)) is not None


def find_offset(call: Call, generation: str) -> int:
    """Where a reader stopped: by the query, or by the last event that it saw. Raises ChatError 400."""
    given = parse_qs(bytes(call.scope["query_string"]).decode("latin-1"), keep_blank_values=True).get("offset")
    if given:
        return read_offset(given[-1])
    last = find_header(call.scope, LAST_EVENT)
    if not last:
        return 0
    event = find_event_id(last)
    if event is None or event[0] != generation:
        message = f"Last-Event-ID must be an id of {generation}'s events. Send offset instead, in the query."
        raise ChatError(400, "offset_invalid", message, "Last-Event-ID")
    return event[1]


def not_found() -> ChatError:
    message = "There is no such answer. It was never resumable, is not kept any more, or was another caller's."
    return ChatError(404, "generation_not_found", message)


def unavailable() -> ChatError:
    return ChatError(503, "resume_unavailable", "The store of answers is away for the moment. Ask again.")


def dialect_of(kind: Kind, service: ServiceEntry) -> Dialect:
    """How the answer to a question at this route is framed."""
    if kind is Kind.MESSAGES:
        return Dialect.ANTHROPIC
    if kind in (Kind.CHAT_COMPLETIONS, Kind.COMPLETIONS):
        return Dialect.OPENAI
    return Dialect.EAS_DELTA if service.traits.policy.is_delta else Dialect.EAS

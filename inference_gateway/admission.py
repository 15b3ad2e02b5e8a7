"""Who is let in, and to which service: the first thing that is asked of every request."""

from __future__ import annotations

from typing import NamedTuple

from deployments.api_keys import KeyScope
from deployments.words import say
from inference_gateway.authentication import check_token, find_authorization, find_bearer, is_signature, is_token
from inference_gateway.callers import Callers
from inference_gateway.calls import Call
from inference_gateway.chat import ChatError
from inference_gateway.codecs import openai
from inference_gateway.directory import Directory, Entry, ServiceEntry
from inference_gateway.flat import read_carried_name
from inference_gateway.groups import GroupEntry, choose, point_of
from inference_gateway.handshake import find_conversation_id
from inference_gateway.http import Scope
from inference_gateway.key_rights import check_counts, check_scope, may_call
from inference_gateway.key_rows import KeyEntry
from inference_gateway.keybook import Keybook
from inference_gateway.principals import Principal, Proof
from inference_gateway.routing import NO_UPSTREAM, no_service
from inference_gateway.targets import Kind, no_route


class Admitted(NamedTuple):
    """Who was let in, and to what; ``key`` is None for a service's own token."""

    service: ServiceEntry
    principal: Principal
    key: KeyEntry | None


class Admission:
    """One a process."""

    def __init__(self, directory: Directory, keybook: Keybook, callers: Callers) -> None:
        self._directory = directory
        self._keybook = keybook
        self._callers = callers

    async def admit(self, call: Call) -> ServiceEntry:
        """The service that is called, by its own name or its group's; the token or an API key is checked.

        Raises ChatError 404, 401, 403, 503 where no member of a group takes its requests, and what ``read`` does.
        """
        authorization = find_authorization(call.scope)
        if call.target.service is None:
            name = await self._find_flat_name(call, find_bearer(authorization))
        else:
            name = call.target.service
        entry = await self._directory.find_entry(name)
        if entry is None:
            if call.target.service is None:
                message = f"There is no service {name!r}. Put a service's name into model."
                raise ChatError(404, "model_not_found", message, "model")
            raise no_service(name)
        body = await call.read() if is_signature(authorization) else b""
        if isinstance(entry, GroupEntry):
            return await self._admit_to_group(call, entry, body)
        try:
            check_token(call.scope, entry.token, body)
        except ChatError:
            if await self._keybook.admit(call, entry):
                call.service = entry
                return entry
            # It may have been rotated a moment ago. A flood of wrong ones gets one look for all of them.
            again = await self._directory.find_again(name)
            if not isinstance(again, ServiceEntry):
                raise no_service(name) from None
            check_token(call.scope, again.token, body)
            entry = again
        call.service, call.principal = entry, entry.principal
        self._callers.note(entry.id, call.scope)
        return entry

    def peek(self, name: str, presented: str) -> Admitted | None:
        """Who may chat with a service, where nothing has to be looked up to know it; else None."""
        entry = self._directory.peek(name)
        if not isinstance(entry, ServiceEntry):
            return None
        if entry.token is not None and is_token(presented, entry.token):
            return Admitted(entry, entry.principal, None)
        key = self._keybook.peek(presented)
        if key is None:
            return None
        try:
            check_counts(key)
            check_scope(key, KeyScope.CHAT)
        except ChatError:
            return None
        return Admitted(entry, key.principal, key) if may_call(key, entry) else None

    def stands(self, admitted: Admitted, presented: str) -> bool:
        """Whether ``peek`` would say again what it said: what is known of service and key is still the same look."""
        key = admitted.key
        return self._directory.peek(admitted.service.name) is admitted.service and (
            key is None or (key.expires_at is None and self._keybook.peek(presented) is key)
        )

    def note_agent(self, service: ServiceEntry, scope: Scope, agent: bytes) -> None:
        """A program of that name is let in with the service's own token."""
        self._callers.note_agent(service.id, scope, agent)

    def note_key(self, key: KeyEntry) -> None:
        """Somebody is let in with it."""
        self._keybook.note_use(key)

    async def _admit_to_group(self, call: Call, group: GroupEntry, body: bytes) -> ServiceEntry:
        """The member that answers: with the group's token any, with an API key one that the key is for."""
        key: KeyEntry | None = None
        try:
            check_token(call.scope, group.token, body)
        except ChatError:
            key = await self._keybook.find_presented(call)
            if key is None:
                again = await self._directory.find_again(group.name)
                if not isinstance(again, GroupEntry):
                    raise no_service(group.name) from None
                check_token(call.scope, again.token, body)
                group = again
        members = [(one, member) for member in group.members if (one := await self._directory.find(member.name))]
        if key is not None:
            allowed = [(one, member) for one, member in members if may_call(key, one)]
            if key.principal.workspace_id != group.workspace_id or (members and not allowed):
                message = f"This API key is for no member of the group {group.name}. Use one that is."
                raise ChatError(403, "service_not_allowed", message)
            members = allowed
        shares = ((one, group.share_of(member, len(one.routes))) for one, member in members)
        service = choose(shares, point_of(find_conversation_id(call.scope)))
        if service is None:  # what one of those is at that would answer is told as ever
            service = next((one for one, member in members if group.share_of(member, 1)), None)
        if service is None:
            raise no_member(group)
        if key is None:
            call.principal = service.principal
        else:
            await self._keybook.admit(call, service)
        call.service, call.group = service, group
        return service

    async def look_again(self, call: Call, service: ServiceEntry) -> Principal:
        """Who asks over a WebSocket that ``service`` was entered with, and with which limits, by now.

        Raises ChatError 401, 403, 404 where the caller would not be let in any more, and 503 as ``Directory.find``.
        """
        now = await self._directory.find(service.name)
        if now is None or now.uid != service.uid:
            raise no_service(service.name)
        if call.principal is not None and call.principal.proof is Proof.API_KEY:
            if await self._keybook.admit(call, now):
                return call.principal
        else:
            entered: Entry | None = now if call.group is None else await self._directory.find_entry(call.group.name)
            if entered is not None and entered.token == (call.group or service).token:
                return now.principal
        raise ChatError(401, "Unauthorized", "The token counts no more. Connect with another.")

    async def _find_flat_name(self, call: Call, bearer: str | None) -> str:
        """The service or group that a request under ``/v1`` is for: its ``model``, or for the list its token's own."""
        kind, is_carried = call.target.kind, call.target.is_carried_flat
        if (kind in (Kind.ROOT, Kind.OTHER)) and not is_carried:
            raise no_route(call.target)
        if bearer is None and find_authorization(call.scope) is None:
            check_token(call.scope, None)  # raises 401 before any body is read
        if is_carried:
            named = await read_carried_name(call)
            if named is not None:
                return named
        elif kind is Kind.MODEL:
            return call.target.rest.rstrip("/").rpartition("/")[2]
        elif call.method == "POST" and kind is not Kind.MODELS:
            name = openai.find_model(await call.read())
            if not name:
                message = "model is missing. Put the service's name there."
                raise ChatError(400, "model_missing", message, "model")
            return name
        entry = None if bearer is None else await self._directory.find_by_token(bearer)
        if entry is None:
            await self._keybook.refuse_nameless(call)
            check_token(call.scope, None)
            raise AssertionError("unreachable")
        return entry.name


def no_member(group: GroupEntry) -> ChatError:
    """Nobody was released into the group's requests, or all have the weight 0."""
    why = say("No member of the group %(name)s takes its requests. Release one, with a weight over 0.", name=group.name)
    return ChatError(503, "no_healthy_upstream", say("%(code)s: %(why)s", code=NO_UPSTREAM, why=why))

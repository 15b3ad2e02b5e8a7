"""Who is let in, and to which service: the first thing that is asked of every request."""

from __future__ import annotations

from inference_gateway.authentication import check_token, find_authorization, find_bearer, is_signature
from inference_gateway.callers import Callers
from inference_gateway.calls import Call
from inference_gateway.chat import ChatError
from inference_gateway.codecs import openai
from inference_gateway.directory import Directory, ServiceEntry
from inference_gateway.flat import read_carried_name
from inference_gateway.keybook import Keybook
from inference_gateway.routing import no_service
from inference_gateway.targets import Kind, no_route


class Admission:
    """One a process."""

    def __init__(self, directory: Directory, keybook: Keybook, callers: Callers) -> None:
        self._directory = directory
        self._keybook = keybook
        self._callers = callers

    async def admit(self, call: Call) -> ServiceEntry:
        """The service that is called, its token or an API key checked.

        Raises ChatError 404, 401, 403 and what ``read`` does.
        """
        authorization = find_authorization(call.scope)
        if call.target.service is None:
            name = await self._find_flat_name(call, find_bearer(authorization))
        else:
            name = call.target.service
        service = await self._directory.find(name)
        if service is None:
            if call.target.service is None:
                message = f"There is no service {name!r}. Put a service's name into model."
                raise ChatError(404, "model_not_found", message, "model")
            raise no_service(name)
        body = await call.read() if is_signature(authorization) else b""
        try:
            check_token(call.scope, service.token, body)
        except ChatError:
            if await self._keybook.admit(call, service):
                call.service = service
                return service
            # It may have been rotated a moment ago. A flood of wrong ones gets one look for all of them.
            service = await self._directory.find_again(name)
            if service is None:
                raise no_service(name) from None
            check_token(call.scope, service.token, body)
        call.service, call.principal = service, service.principal
        self._callers.note(service.id, call.scope)
        return service

    async def _find_flat_name(self, call: Call, bearer: str | None) -> str:
        """The service that a request under ``/v1`` is for: its ``model``, or for the list its token's own."""
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
        service = None if bearer is None else await self._directory.find_by_token(bearer)
        if service is None:
            await self._keybook.refuse_nameless(call)
            check_token(call.scope, None)
            raise AssertionError("unreachable")
        return service.name

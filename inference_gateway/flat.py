"""Which service a request under ``/v1`` is for: the one that its body names in ``model``, else its token's own.

A JSON body is read whole, within ``MAX_JSON_BYTES``. Of a form only as much as it takes to find ``model`` is read,
within ``MAX_HEAD_BYTES``, and all of it goes on to the instance: files are never gathered here. Whoever puts
``model`` behind a larger file than that means the service whose token is sent.
"""

from __future__ import annotations

from inference_gateway.calls import Call
from inference_gateway.chat import ChatError
from inference_gateway.codecs.naming import find_boundary, find_form_name, find_json_name
from inference_gateway.http import BodyTooLargeError, ClientGoneError, find_header, read_body

MAX_JSON_BYTES = 16 * 1024 * 1024
MAX_HEAD_BYTES = 1024 * 1024
CURE = "Call the route below the service instead: /api/predict/ and its name take a body of any length."


async def read_carried_name(call: Call) -> str | None:
    """The service that the body of a carried request names; None where it has none.

    Raises ChatError 400 for a JSON body that names none, 413, and ClientGoneError.
    """
    if call.method in ("GET", "HEAD", "DELETE"):
        return None
    content_type = find_header(call.scope, b"content-type") or ""
    boundary = find_boundary(content_type)
    if boundary is not None:
        return await _read_form_name(call, boundary)
    if call.body is None:
        try:
            call.body = await read_body(call.scope, call.receive, MAX_JSON_BYTES)
        except BodyTooLargeError as error:
            raise BodyTooLargeError(MAX_JSON_BYTES, error.has_rest, CURE) from None
    if not call.body:
        return None
    name = find_json_name(call.body)
    if not name:
        raise ChatError(400, "model_missing", "model is missing. Put the service's name there.", "model")
    return name


async def _read_form_name(call: Call, boundary: bytes) -> str | None:
    head = b"" if call.body is None else call.body
    is_whole = call.body is not None
    while True:
        name = find_form_name(head, boundary)
        if name or is_whole or len(head) > MAX_HEAD_BYTES:
            return name
        message = await call.receive()
        if message["type"] == "http.disconnect":
            raise ClientGoneError
        call.taken.append(message)
        head += message.get("body", b"")
        is_whole = not message.get("more_body", False)

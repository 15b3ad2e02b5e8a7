"""Bodies that are only carried to an engine: what would make its machine run or read something is refused here, too.

Engines take such fields on every route (gateway.md §5.2: vLLM's ``/tokenize`` was the way in of one CVE), and some of
them read JSON whatever the request calls it. A program without an engine's label gets its bodies as they come.
"""

from __future__ import annotations

import msgspec

from inference_gateway.calls import Call
from inference_gateway.codecs.harm import check_fields, check_part
from inference_gateway.codecs.naming import find_boundary
from inference_gateway.flat import MAX_JSON_BYTES
from inference_gateway.http import BodyTooLargeError, find_header, read_body

BODILESS = ("GET", "HEAD", "OPTIONS")
CURE = "Send less at once; forms (multipart/form-data) may be of any length."
_decode = msgspec.json.Decoder().decode


async def screen(call: Call) -> None:
    """Read a body that an engine may take for JSON, and leave it in ``call``. Forms pass as they come.

    Raises ChatError 400 that names the field, 413, and ClientGoneError.
    """
    if call.method in BODILESS or find_boundary(find_header(call.scope, b"content-type") or "") is not None:
        return
    if call.body is None:
        try:
            call.body = await read_body(call.scope, call.receive, MAX_JSON_BYTES)
        except BodyTooLargeError as error:
            raise BodyTooLargeError(MAX_JSON_BYTES, error.has_rest, CURE) from None
    check(call.body)


def check(body: bytes) -> None:
    """Raise ChatError 400 for a JSON object with what is not taken; what is no JSON is the engine's to refuse."""
    try:
        values = _decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return
    if not isinstance(values, dict):
        return
    check_fields(values)
    # Parts that name something to fetch lie somewhere below: messages, input, documents, queries.
    below = [(name, value) for name, value in values.items() if isinstance(value, list | dict)]
    while below:
        where, value = below.pop()
        if isinstance(value, dict):
            check_part(where, value)
            below += [(where, one) for one in value.values() if isinstance(one, list | dict)]
        else:
            below += [(f"{where}[{number}]", one) for number, one in enumerate(value) if isinstance(one, list | dict)]

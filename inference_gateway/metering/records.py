"""One request's usage, as a line of a spool."""

from __future__ import annotations

import time

import msgspec

from inference_gateway.accounts import Account


class Record(msgspec.Struct, array_like=True, gc=False):
    """Fields in the order of the line: new ones go to the end, with a default. ``at`` is Unix time in seconds.

    No field holds others, so a record is in no cycle that somebody would have to look for (``gc``).
    """

    at: float
    request_id: str
    workspace_id: int
    service_uid: str
    service_name: str
    person_id: int
    key_id: int
    proof: str
    operation: str
    model: str
    status: int
    error_code: str
    ending: str
    prompt_tokens: int
    completion_tokens: int
    is_counted: bool
    first_token_ms: int | None
    duration_ms: int


_encode = msgspec.json.Encoder().encode
_decoder = msgspec.json.Decoder(Record)


def render_line(account: Account) -> bytes:
    """The line of a closed account, without its end."""
    service, principal = account.service, account.principal
    prompt, completion = account.used
    first = account.first_token_at
    assert account.ending is not None
    record = Record(
        time.time(),
        account.request_id[:64],
        principal.workspace_id,
        service.uid,
        service.name,
        principal.person_id or 0,
        principal.key_id or 0,
        principal.proof,
        account.operation,
        (service.traits.facts.name or "")[:200],
        account.status,
        account.error_code[:64],
        account.ending,
        prompt,
        completion,
        account.is_counted,
        None if first is None else int((first - account.began_at) * 1000 + 0.5),
        int((account.ended_at - account.began_at) * 1000 + 0.5),
    )
    return _encode(record)


def read_line(line: bytes) -> Record:
    """Raises msgspec.MsgspecError."""
    return _decoder.decode(line)


def read_lines(lines: bytes) -> list[Record]:
    """All of them, or msgspec.MsgspecError."""
    return _decoder.decode_lines(lines)

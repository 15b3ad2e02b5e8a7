"""One request's usage, as a line of a spool."""

from __future__ import annotations

import time
from typing import Any

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

#: What lines have in common of one service, one caller and one operation, as the middle of a line.
_common: dict[tuple[Any, ...], msgspec.Raw] = {}
MOST_COMMON = 4096


def render_line(account: Account) -> bytes:
    """The line of a closed account, without its end: a ``Record``, of which nearly half is rendered already."""
    service, principal = account.service, account.principal
    common = (
        principal.workspace_id,
        service.uid,
        service.name,
        principal.person_id,
        principal.key_id,
        principal.proof,
        account.operation,
        service.traits.facts.name,
    )
    prompt, completion = account.used
    began, first = account.began_at, account.first_token_at
    return _encode(
        (
            time.time(),
            account.request_id[:64],
            _common.get(common) or _render_common(common),
            account.status,
            account.error_code[:64],
            account.ending,
            prompt,
            completion,
            account.prompt_tokens is not None,
            None if first is None else int((first - began) * 1000 + 0.5),
            int((account.ended_at - began) * 1000 + 0.5),
        )
    )


def _render_common(common: tuple[Any, ...]) -> msgspec.Raw:
    workspace, uid, name, person, key, proof, operation, model = common
    values = (workspace, uid, name, person or 0, key or 0, proof, operation, (model or "")[:200])
    if len(_common) >= MOST_COMMON:
        _common.clear()
    rendered = _common[common] = msgspec.Raw(_encode(values)[1:-1])
    return rendered


def read_line(line: bytes) -> Record:
    """Raises msgspec.MsgspecError."""
    return _decoder.decode(line)


def read_lines(lines: bytes) -> list[Record]:
    """All of them, or msgspec.MsgspecError."""
    return _decoder.decode_lines(lines)

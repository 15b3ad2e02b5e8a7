"""A line of usage is the record that it stands for, byte for byte, whatever stands in it."""

from __future__ import annotations

import random
import time

import msgspec
import pytest

from inference_gateway.accounts import Account, Ending
from inference_gateway.chat import Usage
from inference_gateway.directory import ServiceEntry, Traits
from inference_gateway.metering import records
from inference_gateway.metering.records import Record, read_line, read_lines, render_line
from inference_gateway.model_facts import ModelFacts
from inference_gateway.principals import Principal, Proof

#: Callers and operators write some of these.
TEXTS = ("", "qwen", 'a "name", a \\ and ]', "模型\u2028🦙", "\x00\t\x7f\n", "x" * 300)


def account_of(chance: random.Random) -> Account:
    """Closed, with anything in it that there may be."""
    principal = Principal(
        chance.choice(list(Proof)), chance.randint(1, 3), chance.choice((None, 7, 2**40)), chance.choice((None, 8))
    )
    service = ServiceEntry(
        id=1,
        uid=chance.choice(TEXTS),
        name=chance.choice(TEXTS),
        workspace_id=1,
        token=None,
        traits=Traits(None, 600.0, facts=ModelFacts(name=chance.choice((None, *TEXTS)))),
        is_stopped=False,
        wanted_instances=1,
        status="Running",
        message="",
        routes=(),
        principal=principal,
    )
    account = Account(service, principal, chance.choice(("chat", "text_completion")), chance.choice(TEXTS))
    if chance.random() < 0.5:
        account.count(Usage(chance.randint(0, 9), chance.randint(0, 2**33)))
    account.pieces = chance.randint(0, 9)
    account.status, account.error_code = chance.choice((200, 499, 502)), chance.choice(TEXTS)
    account.first_token_at = chance.choice((None, account.began_at + chance.random()))
    account.ending, account.ended_at = chance.choice(list(Ending)), account.began_at + 100 * chance.random()
    account.settle()
    return account


def record_of(account: Account, at: float) -> Record:
    first, service, principal = account.first_token_at, account.service, account.principal
    assert account.ending is not None
    return Record(
        at=at,
        request_id=account.request_id[:64],
        workspace_id=principal.workspace_id,
        service_uid=service.uid,
        service_name=service.name,
        person_id=principal.person_id or 0,
        key_id=principal.key_id or 0,
        proof=principal.proof.value,
        operation=account.operation,
        model=(service.traits.facts.name or "")[:200],
        status=account.status,
        error_code=account.error_code[:64],
        ending=account.ending.value,
        prompt_tokens=account.used[0],
        completion_tokens=account.used[1],
        is_counted=account.is_counted,
        first_token_ms=None if first is None else int((first - account.began_at) * 1000 + 0.5),
        duration_ms=int((account.ended_at - account.began_at) * 1000 + 0.5),
    )


@pytest.mark.parametrize("most", [1, 50, records.MOST_COMMON])
def test_every_line_is_its_record(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    monkeypatch.setattr(records, "MOST_COMMON", most)
    chance = random.Random(most)
    accounts = [account_of(chance) for _ in range(200)]
    accounts += chance.sample(accounts, 200)  # again, with what is remembered by now
    lines, expected = b"", []
    for account in accounts:
        line = render_line(account)
        at = read_line(line).at
        assert abs(at - time.time()) < 600
        expected.append(record_of(account, at))
        assert line == msgspec.json.encode(expected[-1])
        lines += line + b"\n"
    assert read_lines(lines) == expected


def test_no_more_is_remembered_than_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "MOST_COMMON", 10)
    chance = random.Random(1)
    for _ in range(100):
        render_line(account_of(chance))
    assert len(records._common) <= 10

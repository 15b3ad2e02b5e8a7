"""When waiting is over, and how it ended."""

from __future__ import annotations

from typing import Any

import pytest

from console.cli.waiting import judge


def seen(status: str, **fields: Any) -> dict[str, Any]:
    usual = {"Reason": status, "Message": "why", "PendingInstance": 0, "TotalInstance": 1, "WantedStatus": "running"}
    return {"Status": status, **usual, **fields}


@pytest.mark.parametrize(
    ("service", "kind"),
    [
        (seen("Running"), "create"),
        (seen("Running"), "scale"),
        (seen("Stopped", WantedStatus="stopped"), "stop"),
        (seen("Stopped", WantedStatus="stopped"), "update"),
        (seen("Stopped", TotalInstance=0), "scale"),
        (seen("Running"), "stop"),  # somebody started it meanwhile
        (None, "delete"),
    ],
)
def test_it_is_over_and_well(service: dict[str, Any] | None, kind: str) -> None:
    verdict = judge(service, kind)
    assert verdict.is_done
    assert not verdict.failure


@pytest.mark.parametrize(
    ("service", "kind"),
    [
        (seen("Creating"), "create"),
        (seen("Waiting"), "create"),
        (seen("Running", PendingInstance=1), "create"),
        (seen("Stopped"), "start"),
        (seen("Running", WantedStatus="stopped"), "stop"),
        (seen("Running"), "delete"),
        (seen("Failed"), "delete"),
    ],
)
def test_it_is_not_over(service: dict[str, Any], kind: str) -> None:
    assert not judge(service, kind).is_done


@pytest.mark.parametrize(
    ("service", "kind", "code"),
    [
        (seen("Failed", Reason="OOMKilled"), "create", "OOMKilled"),
        (seen("Running", Reason="UpdateHalted"), "update", "UpdateHalted"),
        (seen("DeleteFailed"), "delete", "DeleteFailed"),
        (None, "create", "ServiceNotFound"),
    ],
)
def test_it_is_over_and_failed(service: dict[str, Any] | None, kind: str, code: str) -> None:
    verdict = judge(service, kind)
    assert verdict.is_done
    assert verdict.failure
    assert verdict.code == code

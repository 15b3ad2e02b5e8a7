"""How old what a badge says may be: a look of the service's own, or word from a platform that tells by itself."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from console.badges import badge_of
from deployments.models import Service, Status

NOW = datetime(2026, 11, 21, 10, 12, tzinfo=UTC)


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def service(**fields: Any) -> Service:
    values = {
        "name": "chat_a",
        "status": Status.RUNNING,
        "wanted_instances": 1,
        "created_at": ago(9000),
        "progress_since": ago(9000),
        "observed_at": ago(55),
        "next_check_at": NOW + timedelta(seconds=5),
    }
    return Service(**(values | fields))


@pytest.mark.parametrize(
    ("heard_at", "fields", "word"),
    [
        (ago(2), {}, "Running"),  # looked at a minute ago, and the cluster has told of nothing since
        (None, {}, "Unknown, seen 55 s ago"),
        (ago(600), {}, "Unknown, seen 55 s ago"),  # the cluster has been silent for longer than that
        (ago(45), {"observed_at": ago(300)}, "Unknown, seen 45 s ago"),
        (ago(2), {"next_check_at": ago(40)}, "Unknown, seen 55 s ago"),  # a look is due, and nobody takes it
        (ago(2), {"next_check_at": ago(10)}, "Running"),
        (ago(2), {"observed_at": None}, "Unknown, seen 2 h ago"),  # nobody has ever looked
        (None, {"observed_at": None, "progress_since": ago(5)}, "Running"),  # asked for just now
        (ago(600), {"status": Status.STOPPED}, "Stopped"),
    ],
)
def test_a_badge_is_as_old_as_the_last_word_of_its_service(
    heard_at: datetime | None, fields: dict[str, Any], word: str
) -> None:
    assert badge_of(service(**fields), 1, NOW, heard_at).word == word

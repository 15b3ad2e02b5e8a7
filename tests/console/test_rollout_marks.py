"""Marks in the Monitoring tab's charts where a rollout began, and the list of them beside."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from django.test import Client
from django.utils import timezone

from console.charts import Mark
from console.rollouts import MOST, Rollout, marks_of, rollouts_of
from deployments.models import Service, ServiceEvent
from tests.console.conftest import ServiceMaker
from tests.console.test_monitoring_page import chart, measure, page, words

pytestmark = pytest.mark.usefixtures("nothing_counted")
NOON = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)


def tell(service: Service, code: str, message: str, at: datetime, revision: int = 1) -> None:
    ServiceEvent.objects.create(
        service=service, code=code, message=message, created_at=at, last_seen_at=at, revision_number=revision
    )


def told(service: Service, hours: int = 2) -> list[str]:
    return [one.words for one in rollouts_of(service, NOON, NOON + timedelta(hours=hours))]


def minute(number: int) -> datetime:
    return NOON + timedelta(minutes=number)


def test_updates_switches_scales_and_restarts_are_rollouts_and_their_steps_are_not(make_service: ServiceMaker) -> None:
    service, other = make_service("chat_a"), make_service("chat_b")
    tell(service, "Created", "olga created chat_a.", minute(0))
    tell(service, "RUNNING", "Running.", minute(1))
    tell(service, "Updating", "Updating to r2.", minute(2), 2)
    tell(service, "UpdateHalted", "r2 gave no token.", minute(3), 2)
    tell(service, "Updating", "1 of 2 new instances answers.", minute(4), 2)
    tell(service, "Switching", "Switching to r1.", minute(5))
    tell(service, "Updating", "0 of 2 new instances answer.", minute(6))
    tell(service, "Scaling", "Scaling from 1 to 2 instances.", minute(7))
    tell(service, "Restarting", "Restarting: instances are replaced one after another.", minute(8))
    tell(service, "InstanceRestarted", "olga restarted instance chat-a-0.", minute(9))
    tell(service, "Starting", "Waiting for a worker. Usually under 1 s.", minute(10))
    tell(service, "TokenRotated", "olga rotated the service token.", minute(11))
    tell(other, "Scaling", "Scaling from 1 to 3 instances.", minute(12))
    assert told(service) == [
        "Start",
        "olga restarted instance chat-a-0.",
        "Restarting: instances are replaced one after another.",
        "Scaling from 1 to 2 instances.",
        "Switching to r1.",
        "Updating to r2.",
        "olga created chat_a.",
    ]


def test_only_what_began_in_the_time_is_told_and_the_newest_where_there_are_many(make_service: ServiceMaker) -> None:
    service = make_service("chat_a")
    tell(service, "Scaling", "before", NOON - timedelta(seconds=1))
    tell(service, "Scaling", "first", NOON)
    tell(service, "Scaling", "after", NOON + timedelta(hours=2))
    assert told(service) == ["first"]
    for number in range(MOST):
        tell(service, "Scaling", str(number), minute(1 + number))
    assert told(service) == [str(number) for number in reversed(range(MOST))]


def test_a_mark_stands_where_its_first_rollout_began_and_says_all_of_its_step() -> None:
    rollouts = [
        Rollout(minute(9) + timedelta(seconds=30), "later"),
        Rollout(minute(2) + timedelta(seconds=45), "second."),
        Rollout(minute(2) + timedelta(seconds=15), "first."),
        Rollout(minute(10), "beyond"),
    ]
    marks = marks_of(rollouts, NOON, 60, 10)
    assert marks == (Mark(2, 0.225, "first. second."), Mark(9, 0.95, "later"))
    assert marks[0].path == "M225.0 0V100"
    assert marks_of([], NOON, 60, 10) == ()


def test_every_chart_has_the_mark_its_legend_and_its_words_and_the_page_lists_it(
    viewer: Client, make_service: ServiceMaker
) -> None:
    service = make_service("chat_a")
    for minutes in range(1, 6):
        measure(service, minutes, s200=60)
    at = timezone.now().replace(second=0, microsecond=0) - timedelta(minutes=3)
    tell(service, "Updating", "Updating to r<2>.", at + timedelta(seconds=5), 2)
    html = page(viewer, "?range=15m")
    figures = re.findall(r'<figure class="card chart" id="chart-([a-z-]+)"', html)
    assert len(figures) >= 3
    for key in figures:
        drawn = chart(html, key)
        assert drawn.count('<path class="chart-mark" d="M') == 2  # in the plot and in the legend
        assert "Rollout begins" in words(drawn.partition("<details")[0])
        rows = [row for row in drawn.split("<tr>")[2:] if "Updating to r&lt;2&gt;." in row]
        assert len(rows) == 1
        assert f'datetime="{at:%Y-%m-%dT%H:%M}' in rows[0]
    listed = html.partition('id="rollouts"')[2].partition("</section>")[0]
    assert "Rollouts in this time" in listed
    assert "Updating to r&lt;2&gt;." in listed


def test_without_a_rollout_there_is_neither_mark_nor_column_nor_list(owner: Client, make_service: ServiceMaker) -> None:
    measure(make_service("chat_a"), 1, s200=60)
    html = page(owner)
    assert "<figure" in html
    assert "Rollout" not in html
    assert "chart-mark" not in html

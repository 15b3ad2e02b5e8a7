"""A process is killed, and a service's instances are replaced, while hundreds ask. Faults 28 and 29 of gateway.md §5.3.

``bench/bench_faults.py`` does the same at the full rate, and measures it.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bench.gateway.crowd import Size
from bench.gateway.faults import RESUMABLE, Site, kill, replace_instances
from bench.gateway.loads import run

pytestmark = [pytest.mark.supervisor, pytest.mark.timeout(400)]
PROCESSES = 3
#: Short questions wait for each other, so that a slow machine has fewer of them and none is refused.
SIZE = Size(streams=200, stream_tokens=12, gap_ms=150, rate=100, most_waiting=16, calm_seconds=0.5)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = Site(tmp_path_factory.mktemp("faults"), PROCESSES)
    try:
        site.start()
        yield site
    finally:
        site.stop()


def test_callers_of_the_other_processes_see_nothing_of_a_kill_and_usage_is_what_was_answered(site: Site) -> None:
    outcome = run(kill(site, SIZE))
    assert outcome.faults == []
    assert len(outcome.shares) == PROCESSES
    lost = [one for one in outcome.own if one.is_stream and one.target.model == RESUMABLE and one.got]
    assert outcome.resumed == len(lost) - outcome.unstored > 0
    assert outcome.usage_rows >= outcome.crowd.short_whole + outcome.crowd.streams_whole
    assert len(site.slipway.servers()) == PROCESSES


def test_a_rollout_fails_no_request_and_cuts_no_stream(site: Site) -> None:
    old = site.instances()
    outcome = run(replace_instances(site, SIZE))
    assert outcome.faults == []
    assert not site.instances() & old
    assert outcome.crowd.streams_whole >= SIZE.streams

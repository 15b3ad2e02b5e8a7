"""The Monitoring tab: what it shows of what was measured, to whom, and how it looks where nothing was."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django.fixtures import DjangoAssertNumQueries

from console.charts import Line, ceiling, draw, path_of
from console.monitoring_view import find_range, silent_since
from deployments.models import Service
from inference_gateway.histograms import FIRST_TOKEN_BOUNDS, Histogram
from inference_gateway.monitoring.history import RANGES, Step
from inference_gateway.monitoring.measures import Measures
from inference_gateway.monitoring.samples import MINUTE, Row, floor, write
from tests.console.conftest import ServiceMaker

pytestmark = pytest.mark.usefixtures("nothing_counted")
ADDRESS = "/services/chat_a/monitoring"
MOST_QUERIES = 10


def measure(service: Service, minutes_ago: int, *, writer: str = "one", **codes: int) -> None:
    """One minute's answers by status, each of ten tokens, the first of them after 0.3 s; with the gateway's mark."""
    measures = Measures()
    for code, count in codes.items():
        measures.count(f"code.{code.removeprefix('s')}", count)
    answered = sum(codes.values())
    measures.count("completion_tokens", 10 * answered)
    histogram = Histogram(FIRST_TOKEN_BOUNDS)
    for _ in range(answered):
        histogram.observe(0.3)
    measures.histograms["first_token"] = [*histogram.counts, histogram.total]
    at = floor(timezone.now(), MINUTE) - timedelta(minutes=minutes_ago)
    write([Row("", "traffic", at, Measures()), Row(service.uid, "traffic", at, measures)], writer)


def page(client: Client, query: str = "") -> str:
    answer = client.get(f"{ADDRESS}{query}")
    assert answer.status_code == 200
    return str(answer.content.decode())


def words(html: str) -> str:
    """What a person reads."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))


def chart(html: str, key: str) -> str:
    found = re.search(rf'<figure class="card chart" id="chart-{key}".*?</figure>', html, re.DOTALL)
    assert found, f"there is no chart {key}"
    return found[0]


def test_it_is_for_viewers_too_and_not_there_for_strangers(
    viewer: Client, stranger: Client, make_service: ServiceMaker
) -> None:
    make_service("chat_a")
    assert 'aria-current="page">Monitoring<' in page(viewer)
    assert stranger.get(ADDRESS).status_code == 404
    assert Client().get(ADDRESS).status_code == 302


def test_requests_are_told_by_status_with_the_days_sum_and_a_table(owner: Client, make_service: ServiceMaker) -> None:
    service = make_service("chat_a")
    measure(service, 3, s200=120)
    measure(service, 2, s200=60, s503=60)
    measure(service, 2, writer="two", s200=60)
    html = page(owner, "?range=15m")
    shown = words(html)
    assert "Requests 300" in shown
    assert "Answered with 5xx 20.0 %" in shown
    assert "Tokens of answers 3,000" in shown
    requests = chart(html, "requests")
    heads = re.findall(r'<th scope="col"[^>]*>([^<]*)', requests)
    assert heads == ["Time", "All", "200", "503"]
    cells = [re.findall(r'<td class="cell-number">([^<]*)', row) for row in requests.split("<tr>")[2:]]
    assert len(cells) == 15
    assert ["2.00", "2.00", "0.00"] in cells
    assert ["3.00", "2.00", "1.00"] in cells
    assert ["–", "–", "–"] in cells, "before, no gateway was there"


def test_percentiles_are_in_the_unit_that_fits(owner: Client, make_service: ServiceMaker) -> None:
    measure(make_service("chat_a"), 1, s200=100)
    shown = words(chart(page(owner), "first-token"))
    assert "First token milliseconds" in shown
    assert "p50 375" in shown, "in the middle of the part from 250 to 500 ms"


def test_the_day_before_stands_beside_it_unless_it_is_not_wanted(owner: Client, make_service: ServiceMaker) -> None:
    service = make_service("chat_a")
    measure(service, 5, s200=60)
    measure(service, 24 * 60 + 5, s200=30)
    compared = page(owner)
    assert "All, a day earlier" in compared
    assert "30 a day earlier" in words(compared)
    alone = page(owner, "?range=1h&yesterday=off")
    assert "a day earlier" not in alone
    assert "Compare with the day before" in alone


def test_without_requests_it_says_so_and_how_to_call(owner: Client, make_service: ServiceMaker) -> None:
    make_service("chat_a")
    assert "Nothing was measured in this time" in page(owner)
    write([Row("", "traffic", floor(timezone.now(), MINUTE) - timedelta(minutes=1), Measures())], "one")
    html = page(owner)
    assert "No requests in this time." in html
    assert 'href="/services/chat_a/invocation"' in html
    assert "<figure" not in html


@pytest.mark.parametrize("query", ["?range=2y", "?range=", "?range=%00", "?yesterday=maybe"])
def test_an_odd_address_shows_the_usual_hour(owner: Client, make_service: ServiceMaker, query: str) -> None:
    make_service("chat_a")
    assert 'aria-current="true">1 h<' in page(owner, query)
    assert find_range(None) is RANGES[1]


@pytest.mark.parametrize("asked", [one.key for one in RANGES])
def test_the_queries_are_few_whatever_was_measured(
    owner: Client, make_service: ServiceMaker, django_assert_max_num_queries: DjangoAssertNumQueries, asked: str
) -> None:
    service = make_service("chat_a", ready=3)
    for minutes in range(30):
        measure(service, minutes, s200=5, s429=1)
    with django_assert_max_num_queries(MOST_QUERIES):
        page(owner, f"?range={asked}")


def test_engines_have_charts_of_their_own_and_silence_is_told_with_its_beginning(
    owner: Client, make_service: ServiceMaker
) -> None:
    service = make_service("chat_a")
    now = floor(timezone.now(), MINUTE)
    heard = Measures()
    heard.count("looks", 4)
    for level, value in (("running", 2), ("waiting", 1), ("gpu", 0.42)):
        heard.look(level, value)
    write([Row(service.uid, "engine", now - timedelta(minutes=3), heard)], "scraper")
    html = page(owner)
    assert "What the engines say" in html
    assert "GPU busy 42" in words(chart(html, "gpu"))
    assert "GPU memory" not in chart(html, "gpu"), "the engine tells nothing of it"
    assert "cannot be read" not in html
    failed = Measures()
    failed.count("looks", 4)
    failed.count("failed_looks", 4)
    for minutes in (2, 1):
        write([Row(service.uid, "engine", now - timedelta(minutes=minutes), failed)], "scraper")
    assert f"{now - timedelta(minutes=2):%H:%M:00} UTC" in page(owner).partition("cannot be read")[2]


def test_silence_begins_after_the_last_look_that_was_heard() -> None:
    at = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
    good, bad = Measures(), Measures()
    good.counts = {"looks": 4, "failed_looks": 1}
    bad.counts = {"looks": 4, "failed_looks": 4}
    steps = [
        Step(at + timedelta(minutes=place), 60, None, engine)
        for place, engine in enumerate([bad, good, bad, None, bad])
    ]
    assert silent_since(steps) == at + timedelta(minutes=2)
    assert silent_since(steps[:2]) is None
    assert silent_since([]) is None


def test_a_gap_breaks_the_line_and_is_not_drawn_as_zero() -> None:
    assert path_of([1, None, 2, 0], 2) == "M125.0 50.0h0M625.0 0.0L875.0 100.0"
    assert path_of([None, None], 1) == ""


@pytest.mark.parametrize(
    ("most", "top"), [(0, 1), (0.003, 0.005), (1, 1), (1.01, 2), (49, 50), (51, 100), (1e6, 1e6), (0.2, 0.2)]
)
def test_axes_end_at_round_numbers(most: float, top: float) -> None:
    assert ceiling(most) == pytest.approx(top)


def test_a_chart_of_nothing_is_none_and_one_of_zeros_is_flat() -> None:
    instants = [datetime(2026, 3, 10, 12, minute, tzinfo=UTC) for minute in range(3)]
    assert draw("x", "X", "", instants, [Line("a", 1, [None] * 3)]).lines == ()
    flat = draw("x", "X", "", instants, [Line("a", 1, [0, 0, 0])])
    assert flat.lines[0].path == "M166.7 100.0L500.0 100.0L833.3 100.0"
    assert flat.ticks == ("1.0", "0.5", "0.0")

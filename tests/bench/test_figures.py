"""The benchmark's arithmetic and what it reads: percentiles, /proc, wrk's words, the table."""

from __future__ import annotations

import os

import pytest

from bench.gateway.client import Answer, decode_chunks
from bench.gateway.dialogues import text_frame
from bench.gateway.figures import drift, percentile, summarize
from bench.gateway.loads import is_good_stream, parse_wrk
from bench.gateway.measures import describe_overload
from bench.gateway.open_loop import Offered
from bench.gateway.processes import (
    cpu_seconds,
    family,
    memory_kib,
    parse_cpu_seconds,
    parse_memory_kib,
    parse_resident_kib,
    split_cpus,
)
from bench.gateway.report import AIMS, judge, render_aims, render_drift, render_table, summarize_arms

WRK = """Running 2s test @ http://127.0.0.1:8000/v1/chat/completions
  1 threads and 16 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.05ms  412.00us   9.21ms   88.00%
    Req/Sec    14.6k     1.1k    16.2k    70.00%
  Latency Distribution
     50%  950.00us
     75%    1.20ms
     90%    1.60ms
     99%    2.51ms
  29140 requests in 2.01s, 12.5MB read
"""


@pytest.mark.parametrize(
    ("share", "expected"), [(0.5, 50), (0.99, 99), (0.999, 100), (1.0, 100), (0.0, 1), (0.01, 1), (0.011, 2)]
)
def test_a_percentile_is_the_smallest_value_that_so_many_do_not_exceed(share: float, expected: int) -> None:
    assert percentile([float(n) for n in range(100, 0, -1)], share) == expected


def test_of_no_values_there_are_no_figures() -> None:
    with pytest.raises(ValueError, match="no values"):
        percentile([], 0.5)
    with pytest.raises(ValueError, match="no values"):
        summarize([])


def test_rounds_are_a_median_between_quartiles() -> None:
    figure = summarize([5.0, 1.0, 3.0, 2.0, 4.0])
    assert (figure.median, figure.low, figure.high, figure.rounds) == (3.0, 2.0, 4.0, 5)
    assert figure.spread == 2.0
    assert summarize([7.0]).spread == 0.0


def test_drift_is_a_share_of_the_mean() -> None:
    assert drift(95.0, 105.0) == pytest.approx(0.1)
    assert drift(0.0, 0.0) == 0.0


def test_processor_time_is_read_behind_a_name_with_spaces_and_parentheses() -> None:
    line = "4711 (a (strange) name) S 1 4711 4711 0 -1 4194560 900 0 0 0 1234 566 7 8 20 0 7 0 12345 1 2"
    assert parse_cpu_seconds(line, ticks_per_second=100) == 18.0
    assert parse_cpu_seconds("", ticks_per_second=100) == 0.0


def test_memory_is_the_proportional_set_and_else_what_is_resident() -> None:
    assert parse_memory_kib("00400000-7fff [rollup]\nRss:  9000 kB\nPss:  6543 kB\nPss_Anon: 1 kB\n") == 6543
    assert parse_memory_kib("") == 0
    assert parse_resident_kib("Name:\tx\nVmRSS:\t   1234 kB\n") == 1234


def test_this_process_has_cost_time_and_memory() -> None:
    assert os.getpid() in family([os.getpid()])
    assert cpu_seconds([os.getpid()]) > 0
    assert memory_kib([os.getpid()]) > 1000
    assert cpu_seconds([2**22 + 1]) == memory_kib([2**22 + 1]) == 0


def test_the_gateway_has_one_core_and_the_load_the_others() -> None:
    assert split_cpus({3, 1, 2}) == ({1}, {2, 3})
    assert split_cpus({5}) == ({5}, {5})


def test_what_wrk_says_is_read_in_its_units() -> None:
    result = parse_wrk(WRK, 1.5)
    assert (result.answered, result.failed, result.seconds, result.cpu_seconds) == (29140, 0, 2.01, 1.5)
    assert result.latencies_ms == pytest.approx((0.95, 2.51))


def test_refused_questions_and_broken_sockets_of_wrk_count_as_failed() -> None:
    result = parse_wrk(
        WRK + "  Socket errors: connect 0, read 3, write 0, timeout 2\n  Non-2xx or 3xx responses: 140\n", 1.5
    )
    assert (result.answered, result.failed) == (29000, 145)


def test_wrk_that_says_nothing_is_an_error() -> None:
    with pytest.raises(ValueError, match="no result"):
        parse_wrk("unable to connect\n", 0.0)


def test_an_answer_is_whole_however_it_is_cut() -> None:
    whole = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
    for cut in range(1, len(whole)):
        answer = Answer()
        answer.feed(whole[:cut])
        assert not answer.is_whole
        answer.feed(whole[cut:])
        assert (answer.is_whole, answer.status, answer.body) == (True, 200, b"hello")


def test_a_stream_is_good_only_with_every_token_in_order_and_its_end() -> None:
    head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"

    def told(*numbers: int, end: bytes = b"data: [DONE]\n\n") -> Answer:
        answer = Answer()
        parts = [b'data: {"choices":[{"delta":{"content":"w%d "}}]}\n\n' % number for number in numbers]
        answer.feed(head + b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (*parts, end) if part))
        answer.feed(b"0\r\n\r\n")
        return answer

    assert is_good_stream(told(0, 1, 2), 3)
    assert not is_good_stream(told(0, 2), 3)
    assert not is_good_stream(told(0, 2, 1), 3)
    assert not is_good_stream(told(0, 1, 1, 2), 3)
    assert not is_good_stream(told(0, 1, 2, end=b""), 3)


def test_chunks_are_put_together() -> None:
    assert decode_chunks(b"3\r\nabc\r\n1;x=y\r\nd\r\n0\r\n\r\n") == b"abcd"


@pytest.mark.parametrize(
    ("data", "expected"),
    [(b"", b""), (b"3", b""), (b"3\r\nab", b"ab"), (b"3\r\nabc\r\n", b"abc"), (b"3\r\nabc\r\n2\r\nd", b"abcd")],
)
def test_of_chunks_that_were_cut_what_has_come_is_read(data: bytes, expected: bytes) -> None:
    assert decode_chunks(data, is_cut=True) == expected


def test_headers_are_found_in_lower_case() -> None:
    answer = Answer()
    answer.feed(b"HTTP/1.1 200 OK\r\nX-Told: Yes\r\nConnection: close\r\nContent-Length: 3\r\n\r\nb: c")
    assert (answer.find_header(b"x-told"), answer.find_header(b"told"), answer.is_last) == ("yes", None, True)


def test_a_client_s_frame_is_masked() -> None:
    assert text_frame("Hello", b"\x37\xfa\x21\x3d") == bytes.fromhex("818537fa213d7f9f4d5158")  # RFC 6455 §5.7
    with pytest.raises(ValueError, match="too long"):
        text_frame("x" * 126, b"abcd")


def test_overload_is_told_in_shares_of_the_peak_and_of_what_was_offered() -> None:
    offered = Offered(
        10.0, offered=2000, late=100, failed=100, good_ms=[20.0] * 900, refused_ms=[5.0] * 890 + [70.0] * 10
    )
    assert describe_overload("x", offered, peak=100.0) == {
        "x_goodput": 0.9,
        "x_refused": 0.45,
        "x_failed": 0.1,
        "x_good_p99_ms": 20.0,
        "x_refused_p99_ms": 70.0,
    }
    assert describe_overload("x", Offered(10.0, offered=1000, sent_late=21), peak=100.0) == {}


ROUNDS = {
    "direct": {"latency_p50_us": [100.0, 120.0, 110.0]},
    "nginx": {"latency_p50_us": [200.0, 230.0, 205.0], "cpu_us_token": [20.0, 22.0, 21.0]},
    "slipway": {
        "latency_p50_us": [300.0, 320.0, 330.0],
        "cpu_us_token": [42.0, 40.0, 63.0],
        "held_1000_kib": [25.04],
        "overload_goodput": [0.93, 0.95, 0.91],
    },
}


def test_what_an_arm_adds_is_taken_in_each_round() -> None:
    summary = summarize_arms(ROUNDS)
    assert summary["nginx"]["added_p50_us"].median == 100.0
    assert summary["slipway"]["added_p50_us"].median == 200.0
    assert "added_p50_us" not in summary["direct"]


def test_the_table_has_a_column_for_each_arm_and_a_row_for_what_was_measured() -> None:
    lines = render_table(summarize_arms(ROUNDS)).splitlines()
    assert lines[:2] == ["| | direct | nginx | slipway |", "|---|--:|--:|--:|"]
    assert lines[2:] == [
        "| processor per streamed token, µs | – | 21.0 (20.5–21.5) | 42.0 (41.0–52.5) |",
        "| added to one caller's answer, p50 µs | – | 100 (98–105) | 200 (200–210) |",
        "| memory per stream, 1,000 held, KiB | – | – | 25.0 |",
        "| twice what it answers itself: good to peak | – | – | 0.93 (0.92–0.94) |",
    ]


def test_aims_are_met_missed_or_not_measured() -> None:
    judged = {aim.text: (value, is_met) for aim, value, is_met in judge(summarize_arms(ROUNDS))}
    assert len(judged) == len(AIMS)
    assert judged["processor per streamed token within 2.3 of nginx's"] == (2.0, True)
    assert judged["under 20 KiB for a stream of 1,000 held"] == (25.04, False)
    assert judged["goodput at twice its own load at least 0.9 of peak"] == (0.93, True)
    assert judged["processor per request below vllm-router's"] == (None, None)
    table = render_aims(judge(summarize_arms(ROUNDS)))
    assert "| under 20 KiB for a stream of 1,000 held | 20 | 25 | missed |" in table
    assert "| processor per request below vllm-router's | 1 | – | not measured |" in table


def test_a_machine_that_moved_is_said() -> None:
    told = render_drift({"direct": [(100.0, 101.0), (100.0, 99.0)], "nginx": [(100.0, 80.0)]})
    assert "direct: answers a second differ by up to 1.0% within a round; quiet enough" in told
    assert "nginx: answers a second differ by up to 22.2% within a round; too much" in told

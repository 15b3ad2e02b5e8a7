"""Heads that are known: only what differs in nothing but the length of its body is taken for the same."""

from __future__ import annotations

from typing import Any

import pytest

from inference_gateway.heads import MOST_BYTES, MOST_HEADS, Heads

HEAD = b"POST /v1/x HTTP/1.1\r\nHost: here\r\nContent-Length: %d\r\nX-Note: n\r\n\r\n"
KEPT = object()


def make_scope(length: bytes) -> dict[str, Any]:
    headers = [(b"host", b"here"), (b"content-length", length), (b"x-note", b"n")]
    return {"type": "http", "headers": headers, "client": ("10.0.0.1", 1), "extensions": {"a": 1}, "state": {}}


def find_body(heads: Heads, data: bytes) -> bytes | None:
    known = heads.find(data)
    return None if known is None else known.find_body(data)


@pytest.fixture
def heads() -> Heads:
    heads = Heads()
    heads.remember(HEAD % 2 + b"hi", make_scope(b"2"), KEPT)
    return heads


@pytest.mark.parametrize("body", [b"", b"x", b"hello", b"y" * 99_999])
def test_another_length_is_found_with_its_own(heads: Heads, body: bytes) -> None:
    data = HEAD % len(body) + body
    known = heads.find(data)
    assert known is not None
    assert known.kept is KEPT
    assert known.find_body(data) == body
    scope = known.make_scope(len(body))
    assert scope["headers"] == [(b"host", b"here"), (b"content-length", b"%d" % len(body)), (b"x-note", b"n")]
    assert "client" not in scope
    assert "extensions" not in scope


def test_what_was_found_may_be_changed(heads: Heads) -> None:
    known = heads.find(HEAD % 2 + b"hi")
    assert known is not None
    scope = known.make_scope(2)
    scope["headers"].clear()
    scope["method"] = "GET"
    again = known.make_scope(2)
    assert len(again["headers"]) == 3
    assert "method" not in again


@pytest.mark.parametrize(
    "data",
    [
        HEAD % 3 + b"hi",  # more is to come
        HEAD % 1 + b"hi",  # more has come
        (HEAD % 2 + b"hi") * 2,
        b"\r\n" + HEAD % 2 + b"hi",
        (HEAD % 2 + b"hi").replace(b"POST", b"PUT"),
        (HEAD % 2 + b"hi").replace(b"X-Note: n", b"X-Note: m"),
        (HEAD % 2 + b"hi").replace(b"Host", b"host"),
        (HEAD % 2 + b"hi").replace(b"HTTP/1.1", b"HTTP/1.0"),
        (HEAD % 2 + b"hi").replace(b": 2", b": +2"),
        (HEAD % 2 + b"hi").replace(b": 2", b": 0x2"),
        (HEAD % 2 + b"hi").replace(b": 2", b":  2"),
        (HEAD % 2 + b"hi").replace(b": 2", b": 2 "),
        (HEAD % 2 + b"hi").replace(b": 2", b": \xb2"),
        (HEAD % 2 + b"hi").replace(b": 2", b": 0000002"),
        (HEAD % 2 + b"hi").replace(b": 2", b": 02"),
        (HEAD % 2 + b"hi").replace(b": 2", b": "),
        (HEAD % 2 + b"hi").replace(b": 2", b": 2\n"),
        HEAD % 100_000 + b"y" * 100_000,
        (HEAD % 2 + b"hi").replace(b"X-Note", b"Content-Length: 2\r\nX-Note"),
        (HEAD % 2 + b"hi").replace(b"Content-Length: 2\r\n", b""),
        b"",
        b"\r\n\r\n",
    ],
)
def test_anything_else_is_for_the_parser(heads: Heads, data: bytes) -> None:
    """By any head that is known, as a connection asks its last one first."""
    assert find_body(heads, data) is None
    known = heads.find(HEAD % 2 + b"hi")
    assert known is not None
    assert known.find_body(data) is None


def test_a_length_within_another_header_is_not_taken_for_one() -> None:
    heads = Heads()
    data = b"POST / HTTP/1.1\r\nX-Note: content-length: 2\r\nTransfer-Encoding: chunked\r\n\r\nhi"
    heads.remember(data, {"headers": [(b"x-note", b"content-length: 2"), (b"transfer-encoding", b"chunked")]}, KEPT)
    assert find_body(heads, data) is None


def test_two_lengths_and_a_request_that_came_in_pieces_are_not_remembered() -> None:
    heads = Heads()
    scope = make_scope(b"2")
    scope["headers"].append((b"content-length", b"2"))
    heads.remember(HEAD % 2 + b"hi", scope, KEPT)
    heads.remember(HEAD % 2 + b"h", make_scope(b"2"), KEPT)
    assert find_body(heads, HEAD % 2 + b"hi") is None


def test_what_is_remembered_is_bounded(heads: Heads) -> None:
    for number in range(3 * MOST_HEADS):
        heads.remember(HEAD.replace(b"n\r\n\r\n", b"%d\r\n\r\n" % number) % 2 + b"hi", make_scope(b"2"), KEPT)
    assert len(heads) <= MOST_HEADS
    long = HEAD.replace(b"n\r\n\r\n", b"n" * MOST_BYTES + b"\r\n\r\n") % 2 + b"hi"
    heads.remember(long, make_scope(b"2"), KEPT)
    assert find_body(heads, long) is None

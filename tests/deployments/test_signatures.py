"""The vectors of sdk-wire.md, made by the SDKs' own signers, and what must not pass."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from deployments.signatures import (
    SignatureRefused,
    SignedRequest,
    canonical_path,
    canonical_query,
    check_date,
    check_signature,
    is_signed,
    parse_claim,
    render_roa,
)

SECRET = "testsecret"
NONCE = "0123456789abcdef0123456789abcdef"
BODY = b'{"metadata":{"name":"svc","instance":1}}'
BODY_DIGEST = "fa68fdd5930426ecaee9ab8eca06857b027b834f3b4c4ef49774a90cfc7ca182"
NO_DIGEST = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
SIGNED_HEADERS = (
    "accept;content-type;host;user-agent;x-acs-action;x-acs-content-sha256;x-acs-credentials-provider;x-acs-date;"
    "x-acs-signature-nonce;x-acs-version"
)
CREATE_SIGNATURE = "3a49d4d3a0de7e45feed1c116cc6e8b3edfca37e9dfc88e3cbd7a7a843c7671d"
ACS3_CREATE = SignedRequest(
    method="POST",
    raw_path="/api/v2/services",
    raw_query="Labels=%7B%22team%22%3A%22a+b%22%7D",
    headers={
        "accept": "application/json",
        "accept-encoding": "gzip",
        "content-length": str(len(BODY)),
        "content-type": "application/json; charset=utf-8",
        "host": "eas.test:8000",
        "user-agent": "test/1",
        "x-acs-action": "CreateService",
        "x-acs-content-sha256": BODY_DIGEST,
        "x-acs-credentials-provider": "static_ak",
        "x-acs-date": "2024-01-01T00:00:00Z",
        "x-acs-signature-nonce": NONCE,
        "x-acs-version": "2021-07-01",
        "authorization": (
            f"ACS3-HMAC-SHA256 Credential=testid,SignedHeaders={SIGNED_HEADERS},Signature={CREATE_SIGNATURE}"
        ),
    },
    body=BODY,
)
ACS3_DESCRIBE = SignedRequest(
    method="GET",
    raw_path="/api/v2/services/local/a%20b%2F%C3%BC",
    raw_query="",
    headers={name: value for name, value in ACS3_CREATE.headers.items() if not name.startswith("content-")}
    | {
        "x-acs-action": "DescribeService",
        "x-acs-content-sha256": NO_DIGEST,
        "authorization": (
            f"ACS3-HMAC-SHA256 Credential=testid,SignedHeaders={SIGNED_HEADERS.replace('content-type;', '')},"
            "Signature=1b813c9af8fc006bedd69d369c1e5ca8ee20c6d778d56beedf72f9e5e96a4d5c"
        ),
    },
    body=b"",
)
ROA_HEADERS = {
    "host": "eas.test:8000",
    "accept": "application/json",
    "user-agent": "test/1",
    "date": "Mon, 01 Jan 2024 00:00:00 GMT",
    "x-acs-credentials-provider": "static_ak",
    "x-acs-signature-method": "HMAC-SHA1",
    "x-acs-signature-nonce": NONCE,
    "x-acs-signature-version": "1.0",
    "x-acs-version": "2021-07-01",
}
ROA_CREATE = SignedRequest(
    method="POST",
    raw_path="/api/v2/services",
    raw_query="Labels=%7B%22team%22%3A%22a+b%22%7D",
    headers=ROA_HEADERS
    | {
        "content-type": "application/json; charset=utf-8",
        "x-acs-action": "CreateService",
        "authorization": "acs testid:v6nZRiO6rEJwNQXB2tlREQFHhpM=",
    },
    body=BODY,
)
ROA_LIST = SignedRequest(
    method="GET",
    raw_path="/api/v2/services",
    raw_query="Filter=a+b%2B%C3%BC&Label=%7B%22k%22%3A%22v%22%7D&PageSize=10",
    headers=ROA_HEADERS | {"x-acs-action": "ListServices", "authorization": "acs testid:zGpvyQ+6b7rA6PKFrsr+DmKcQhU="},
    body=b"",
)
VECTORS = {
    "acs3-create": ACS3_CREATE,
    "acs3-describe": ACS3_DESCRIBE,
    "roa-create": ROA_CREATE,
    "roa-list": ROA_LIST,
}


def verify(request: SignedRequest, secret: str = SECRET) -> None:
    check_signature(request, parse_claim(request), secret)


def with_headers(request: SignedRequest, **changes: str | None) -> SignedRequest:
    """The request with headers changed, or removed by None; ``_`` stands for ``-``."""
    named = {name.replace("_", "-"): value for name, value in changes.items()}
    merged = {**request.headers, **named}
    return replace(request, headers={name: value for name, value in merged.items() if value is not None})


def code_of(request: SignedRequest, secret: str = SECRET) -> str:
    with pytest.raises(SignatureRefused) as refusal:
        verify(request, secret)
    return refusal.value.code


@pytest.mark.parametrize("name", VECTORS)
def test_the_sdks_own_signatures_are_right(name: str) -> None:
    claim = parse_claim(VECTORS[name])
    assert claim.access_key_id == "testid"
    assert claim.nonce == NONCE
    assert claim.signed_at == datetime(2024, 1, 1, tzinfo=UTC)
    verify(VECTORS[name])


@pytest.mark.parametrize("name", VECTORS)
@pytest.mark.parametrize(
    "changes",
    [
        {"method": "DELETE"},
        {"raw_path": "/api/v2/services/local/other"},
        {"raw_query": "Filter=x"},
    ],
)
def test_what_was_altered_on_the_way_is_refused(name: str, changes: dict[str, str]) -> None:
    assert code_of(replace(VECTORS[name], **changes)) == "SignatureDoesNotMatch"  # type: ignore[arg-type]


@pytest.mark.parametrize("name", VECTORS)
def test_another_secret_another_nonce_or_another_date_is_refused(name: str) -> None:
    request = VECTORS[name]
    assert code_of(request, "testsecres") == "SignatureDoesNotMatch"
    assert code_of(with_headers(request, x_acs_signature_nonce="f" * 32)) == "SignatureDoesNotMatch"
    later = {"x_acs_date": "2024-01-01T00:00:01Z", "date": "Mon, 01 Jan 2024 00:00:01 GMT"}
    changed = with_headers(
        request, **{key: value for key, value in later.items() if key.replace("_", "-") in request.headers}
    )
    assert code_of(changed) == "SignatureDoesNotMatch"


def test_acs3_covers_the_body_and_the_older_signature_does_not() -> None:
    assert code_of(replace(ACS3_CREATE, body=BODY + b" ")) == "SignatureDoesNotMatch"
    other = "5" * 64
    assert code_of(with_headers(ACS3_CREATE, x_acs_content_sha256=other)) == "SignatureDoesNotMatch"
    verify(replace(ROA_CREATE, body=b"{}"))


def test_acs3_must_sign_the_host_and_every_acs_header_that_is_there() -> None:
    authorization = ACS3_CREATE.headers["authorization"]
    for name in ("host;", "x-acs-version", "x-acs-date;", "x-acs-content-sha256;", "x-acs-signature-nonce;"):
        listed = SIGNED_HEADERS.replace(name, "").rstrip(";")
        request = with_headers(ACS3_CREATE, authorization=authorization.replace(SIGNED_HEADERS, listed))
        assert code_of(request) == "IncompleteSignature"
    assert code_of(with_headers(ACS3_CREATE, x_acs_extra="1")) == "IncompleteSignature"
    assert code_of(with_headers(ACS3_CREATE, user_agent=None)) == "IncompleteSignature"


def test_headers_that_nobody_signed_may_change() -> None:
    verify(with_headers(ACS3_CREATE, accept_encoding="br", x_forwarded_for="10.0.0.1"))
    verify(with_headers(ACS3_DESCRIBE, content_type="application/octet-stream"))
    verify(with_headers(ROA_LIST, content_type="application/octet-stream"))


def test_a_body_s_content_type_is_part_of_the_older_signature() -> None:
    assert code_of(with_headers(ROA_CREATE, content_type="text/plain")) == "SignatureDoesNotMatch"


@pytest.mark.parametrize(
    ("authorization", "code"),
    [
        ("ACS3-HMAC-SHA256", "IncompleteSignature"),
        ("ACS3-HMAC-SHA256 Credential=testid", "IncompleteSignature"),
        ("ACS3-HMAC-SHA256 Credential=,SignedHeaders=host,Signature=0", "IncompleteSignature"),
        (f"ACS3-HMAC-SHA256 Credential=,SignedHeaders={SIGNED_HEADERS},Signature=0", "IncompleteSignature"),
        (f"ACS3-HMAC-SHA256 Credential=testid,SignedHeaders={SIGNED_HEADERS},Signature=", "SignatureDoesNotMatch"),
        (f"ACS3-HMAC-SHA256 Credential=testid,SignedHeaders={SIGNED_HEADERS},Signature=é", "SignatureDoesNotMatch"),
        (f"ACS3-HMAC-SHA256 Credential=testid,SignedHeaders={SIGNED_HEADERS};host,Signature=0", "IncompleteSignature"),
        (f"ACS3-RSA-SHA256 Credential=testid,SignedHeaders={SIGNED_HEADERS},Signature=0", "UnsupportedSignatureMethod"),
    ],
)
def test_a_malformed_header_is_named_and_never_a_crash(authorization: str, code: str) -> None:
    assert code_of(with_headers(ACS3_CREATE, authorization=authorization)) == code


def test_a_malformed_older_header_is_named_and_never_a_crash() -> None:
    assert code_of(with_headers(ROA_CREATE, authorization="acs testid")) == "IncompleteSignature"
    assert code_of(with_headers(ROA_CREATE, authorization="acs testid:é")) == "SignatureDoesNotMatch"
    assert code_of(with_headers(ROA_CREATE, x_acs_signature_method="HMAC-MD5")) == "UnsupportedSignatureMethod"


@pytest.mark.parametrize("nonce", [None, "", "a b", "n" * 129, "ü"])
def test_a_nonce_is_needed(nonce: str | None) -> None:
    for request in (ACS3_CREATE, ROA_CREATE):
        assert code_of(with_headers(request, x_acs_signature_nonce=nonce)) == "IncompleteSignature"


@pytest.mark.parametrize("date", ["", "yesterday", "2024-13-01T00:00:00Z", "1704067200"])
def test_a_date_that_is_none_is_named(date: str) -> None:
    assert code_of(with_headers(ACS3_CREATE, x_acs_date=date)) == "InvalidTimeStamp.Format"
    assert code_of(with_headers(ROA_CREATE, date=date)) == "InvalidTimeStamp.Format"


@pytest.mark.parametrize("name", VECTORS)
def test_a_date_is_taken_within_a_quarter_of_an_hour_either_way(name: str) -> None:
    claim = parse_claim(VECTORS[name])
    for minutes in (-15, 0, 15):
        check_date(claim, claim.signed_at + timedelta(minutes=minutes))
    for minutes in (-16, 16):
        with pytest.raises(SignatureRefused) as refusal:
            check_date(claim, claim.signed_at + timedelta(minutes=minutes))
        assert refusal.value.code == "InvalidTimeStamp.Expired"


def test_a_path_is_encoded_anew_part_by_part() -> None:
    assert canonical_path("/a%2Fb/*/%7e/c d") == "/a%2Fb/%2A/~/c%20d"
    assert canonical_path("/%ff") == "/%FF"


def test_a_query_is_decoded_sorted_and_encoded_anew() -> None:
    assert canonical_query("b=1+2&a=*%2A:&empty&c=%ff") == "a=%2A%2A%3A&b=1%202&c=%FF&empty="
    assert canonical_query("") == ""


def test_an_empty_value_is_its_key_alone_in_the_older_signature() -> None:
    text = render_roa(replace(ROA_LIST, raw_query="b=&a=1+2"), "")
    assert text.endswith("\n/api/v2/services?a=1 2&b")


@pytest.mark.parametrize(
    ("authorization", "expected"),
    [
        ("ACS3-HMAC-SHA256 x", True),
        ("acs a:b", True),
        ("Basic YTpi", False),
        ("slp_acs", False),
        ("acsx", False),
        ("", False),
    ],
)
def test_only_signatures_are_taken_for_signatures(authorization: str, expected: bool) -> None:
    assert is_signed(authorization) is expected

"""What a request signed with an access key says, and whether it is so (sdk-wire.md §1-§3). Pure: no row, no clock.

Two signatures exist. ACS3 covers the path, the query, every listed header and, through its digest, the body. The
older one, HMAC-SHA1 in Alibaba's ROA style, covers path, query and some headers but not the body.
"""

from __future__ import annotations

import base64
import hmac
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from urllib.parse import parse_qsl, quote, unquote_to_bytes

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.hmac import HMAC

#: How far a request's date may be from this server's clock (assumed, sdk-wire.md §2).
DATE_WINDOW = timedelta(minutes=15)
ACS3_PREFIX = "ACS3-"
ROA_PREFIX = "acs "
HMAC_SHA1 = "HMAC-SHA1"
#: SM3 is one setting of the SDK away, and both of its digests are SM3 then.
ACS3_DIGESTS: Mapping[str, Callable[[], hashes.HashAlgorithm]] = {
    "ACS3-HMAC-SHA256": hashes.SHA256,
    "ACS3-HMAC-SM3": hashes.SM3,
}
DIGEST_HEADER = "x-acs-content-sha256"  # so named with SM3 too
NONCE_HEADER = "x-acs-signature-nonce"
NONCE_PATTERN = re.compile(r"[!-~]{1,128}")
KEY_ID_PATTERN = re.compile(r"[!-~]{1,128}")


class SignatureRefused(Exception):
    """A signed request is not who it says it is. ``code`` is one of the names that Alibaba's clients know."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """A request as it came over the wire: nothing decoded but the headers' bytes. Header names are lower case."""

    method: str
    raw_path: str
    raw_query: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Claim:
    """What a request says of its signature; nothing of it is proven."""

    access_key_id: str
    algorithm: str  # of ACS3_DIGESTS, or HMAC_SHA1
    signature: str
    signed_headers: tuple[str, ...]  # ACS3 only
    signed_at: datetime
    nonce: str


def is_signed(authorization: str) -> bool:
    """Whether an ``Authorization`` header is one of an access key."""
    start = authorization.lstrip()
    return start.upper().startswith(ACS3_PREFIX) or start[: len(ROA_PREFIX)].lower() == ROA_PREFIX


def parse_claim(request: SignedRequest) -> Claim:
    """Read the signature's headers. Raises ``SignatureRefused`` for one that cannot be understood."""
    authorization = request.headers.get("authorization", "").strip()
    nonce = request.headers.get(NONCE_HEADER, "").strip()
    if not NONCE_PATTERN.fullmatch(nonce):
        raise incomplete(f"The header {NONCE_HEADER} must hold 1 to 128 visible characters.")
    if authorization.upper().startswith(ACS3_PREFIX):
        return parse_acs3(request, authorization, nonce)
    return parse_roa(request, authorization, nonce)


def parse_acs3(request: SignedRequest, authorization: str, nonce: str) -> Claim:
    algorithm, _, rest = authorization.partition(" ")
    if algorithm not in ACS3_DIGESTS:
        raise unsupported(f"{algorithm[:40]} is not supported. Sign with {' or '.join(ACS3_DIGESTS)}.")
    parts = dict(part.strip().partition("=")[::2] for part in rest.split(","))
    if not {"Credential", "SignedHeaders", "Signature"} <= set(parts):
        raise incomplete("The header Authorization must have Credential, SignedHeaders and Signature.")
    listed = tuple(parts["SignedHeaders"].split(";"))
    needed = {"host", "x-acs-date", NONCE_HEADER, DIGEST_HEADER}
    needed |= {name for name in request.headers if name.startswith("x-acs-")}
    missing = sorted(needed - set(listed)) + sorted(name for name in set(listed) - set(request.headers))
    if missing or listed != tuple(sorted(set(listed))):
        named = f" Missing: {', '.join(missing)[:200]}." if missing else ""
        message = "SignedHeaders must list host and every x-acs-* header, sorted, and each must be in the request."
        raise incomplete(message + named)
    signed_at = parse_instant(request.headers["x-acs-date"], "x-acs-date", "2024-01-31T12:00:00Z")
    return Claim(key_id(parts["Credential"]), algorithm, parts["Signature"], listed, signed_at, nonce)


def parse_roa(request: SignedRequest, authorization: str, nonce: str) -> Claim:
    method = request.headers.get("x-acs-signature-method", HMAC_SHA1).strip()
    if method.upper() != HMAC_SHA1:
        raise unsupported(
            f"x-acs-signature-method: {method[:40]} is not supported. Use HMAC-SHA1, or ACS3-HMAC-SHA256."
        )
    access_key_id, colon, signature = authorization[len(ROA_PREFIX) :].strip().partition(":")
    if not colon:
        raise incomplete("The header Authorization must be acs <access key id>:<signature>.")
    signed_at = parse_instant(request.headers.get("date", ""), "date", "Wed, 31 Jan 2024 12:00:00 GMT")
    return Claim(key_id(access_key_id), HMAC_SHA1, signature, (), signed_at, nonce)


def key_id(text: str) -> str:
    if not KEY_ID_PATTERN.fullmatch(text):
        raise incomplete("The access key id must be 1 to 128 visible characters.")
    return text


def parse_instant(text: str, header: str, example: str) -> datetime:
    """ACS3's and HTTP's way to write a time, both UTC."""
    try:
        if header == "date":
            found = parsedate_to_datetime(text.strip())
        else:
            found = datetime.strptime(text.strip(), "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError, IndexError):
        raise SignatureRefused(
            "InvalidTimeStamp.Format", f"The header {header} must be a time in UTC such as {example}."
        ) from None


def check_date(claim: Claim, now: datetime) -> None:
    """Raise ``SignatureRefused`` unless the request was signed about now."""
    if abs(now - claim.signed_at) > DATE_WINDOW:
        here, minutes = f"{now.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}", DATE_WINDOW // timedelta(minutes=1)
        message = (
            f"The request was signed for {claim.signed_at:%Y-%m-%dT%H:%M:%SZ}, more than {minutes} minutes from this "
            f"server's clock, {here}. Correct the clock, then sign again."
        )
        raise SignatureRefused("InvalidTimeStamp.Expired", message)


def check_signature(request: SignedRequest, claim: Claim, secret: str) -> None:
    """Raise ``SignatureRefused`` unless the secret's holder signed this request, for ACS3 with this body."""
    if not any(is_same(claim.signature, expected) for expected in signatures(request, claim, secret)):
        message = "The signature does not match. Check the secret, and that no proxy rewrites a signed header."
        raise SignatureRefused("SignatureDoesNotMatch", message)
    if claim.algorithm != HMAC_SHA1:
        digest = hex_digest(claim.algorithm, request.body)
        if not is_same(request.headers[DIGEST_HEADER].strip().lower(), digest):
            message = f"The body is not the one that was signed: {DIGEST_HEADER} is the digest of another."
            raise SignatureRefused("SignatureDoesNotMatch", message)


def signatures(request: SignedRequest, claim: Claim, secret: str) -> tuple[str, ...]:
    """The signatures that the secret's holder could have sent."""
    if claim.algorithm != HMAC_SHA1:
        text = render_acs3(request, claim.signed_headers)
        to_sign = f"{claim.algorithm}\n{hex_digest(claim.algorithm, text.encode(errors='surrogateescape'))}"
        return (mac(ACS3_DIGESTS[claim.algorithm](), secret, to_sign).hex(),)
    # aiohttp adds a content type to a request without a body after it was signed.
    types = dict.fromkeys((request.headers.get("content-type", ""), *(() if request.body else ("",))))
    return tuple(
        base64.b64encode(mac(hashes.SHA1(), secret, render_roa(request, kind))).decode()  # noqa: S303 - the protocol's
        for kind in types
    )


def render_acs3(request: SignedRequest, signed_headers: tuple[str, ...]) -> str:
    """The canonical request of sdk-wire.md §2."""
    headers = "".join(f"{name}:{request.headers[name].strip()}\n" for name in signed_headers)
    return "\n".join(
        (
            request.method,
            canonical_path(request.raw_path),
            canonical_query(request.raw_query),
            headers,
            ";".join(signed_headers),
            request.headers[DIGEST_HEADER].strip(),
        )
    )


def render_roa(request: SignedRequest, content_type: str) -> str:
    """The text to sign of sdk-wire.md §3."""
    headers = request.headers
    lines = [request.method, headers.get("accept", ""), headers.get("content-md5", ""), content_type]
    lines.append(headers.get("date", ""))
    lines += [f"{name}:{headers[name]}" for name in sorted(headers) if name.startswith("x-acs-")]
    pairs = (f"{key}={value}" if value else key for key, value in query_pairs(request.raw_query))
    query = "&".join(pairs)
    return "\n".join((*lines, canonical_path(request.raw_path) + ("?" if query else "") + query))


def canonical_path(raw_path: str) -> str:
    """Each part decoded and encoded again, so that ``%2F`` inside a name stays and ``*`` becomes ``%2A``."""
    return "/".join(quote(unquote_to_bytes(part), safe="~") for part in raw_path.split("/")) or "/"


def canonical_query(raw_query: str) -> str:
    return "&".join(f"{encoded(key)}={encoded(value)}" for key, value in query_pairs(raw_query))


def query_pairs(raw_query: str) -> list[tuple[str, str]]:
    """The decoded parameters, sorted by name."""
    pairs = parse_qsl(raw_query, keep_blank_values=True, errors="surrogateescape")
    return sorted(pairs, key=lambda pair: pair[0])


def encoded(text: str) -> str:
    return quote(text, safe="~", errors="surrogateescape")


def hex_digest(algorithm: str, data: bytes) -> str:
    digest = hashes.Hash(ACS3_DIGESTS[algorithm]())
    digest.update(data)
    return digest.finalize().hex()


def mac(algorithm: hashes.HashAlgorithm, secret: str, text: str) -> bytes:
    found = HMAC(secret.encode(), algorithm)
    found.update(text.encode(errors="surrogateescape"))
    return found.finalize()


def is_same(one: str, other: str) -> bool:
    """In constant time."""
    return hmac.compare_digest(one.encode(errors="replace"), other.encode())


def incomplete(message: str) -> SignatureRefused:
    return SignatureRefused("IncompleteSignature", message)


def unsupported(message: str) -> SignatureRefused:
    return SignatureRefused("UnsupportedSignatureMethod", message)

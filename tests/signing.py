"""Requests signed with an access key, as a program would that has read no code of ours (sdk-wire.md §2, §3)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import format_datetime
from urllib.parse import quote


def acs3_headers(
    key: tuple[str, str],
    method: str,
    path: str,
    *,
    body: bytes = b"",
    query: Mapping[str, str] | None = None,
    host: str = "testserver",
    at: datetime | None = None,
    nonce: str = "",
) -> dict[str, str]:
    """The headers of a request signed with ACS3-HMAC-SHA256. ``path`` is as it is written on the wire."""
    digest = hashlib.sha256(body).hexdigest()
    headers = {
        "host": host,
        "x-acs-action": "Any",
        "x-acs-content-sha256": digest,
        "x-acs-date": (at or datetime.now(UTC)).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "x-acs-signature-nonce": nonce or secrets.token_hex(16),
    }
    pairs = "&".join(f"{name}={quote(value, safe='~')}" for name, value in sorted((query or {}).items()))
    lines = "".join(f"{name}:{value}\n" for name, value in headers.items())
    canonical = "\n".join((method, path, pairs, lines, ";".join(headers), digest))
    to_sign = "ACS3-HMAC-SHA256\n" + hashlib.sha256(canonical.encode()).hexdigest()
    signature = hmac.new(key[1].encode(), to_sign.encode(), hashlib.sha256).hexdigest()
    credential = f"Credential={key[0]},SignedHeaders={';'.join(headers)},Signature={signature}"
    return {**headers, "Authorization": f"ACS3-HMAC-SHA256 {credential}"}


def roa_headers(
    key: tuple[str, str],
    method: str,
    path: str,
    *,
    query: Mapping[str, str] | None = None,
    content_type: str = "",
    at: datetime | None = None,
) -> dict[str, str]:
    """The headers of a request signed with the older HMAC-SHA1."""
    headers = {"x-acs-signature-method": "HMAC-SHA1", "x-acs-signature-nonce": secrets.token_hex(16)}
    date = format_datetime(at or datetime.now(UTC), usegmt=True)
    pairs = "&".join(f"{name}={value}" if value else name for name, value in sorted((query or {}).items()))
    lines = [method, "application/json", "", content_type, date]
    lines += [f"{name}:{value}" for name, value in headers.items()]
    text = "\n".join((*lines, f"{path}?{pairs}" if pairs else path))
    signature = base64.b64encode(hmac.new(key[1].encode(), text.encode(), hashlib.sha1).digest()).decode()
    return {**headers, "accept": "application/json", "date": date, "authorization": f"acs {key[0]}:{signature}"}

"""What programs say in their own words when they refuse, put into the shape that OpenAI's clients read. Pure.

FastAPI says ``{"detail": …}``, older vLLM ``{"object": "error", "message": …}``, others plain text or a page.
Xinference's clients read ``detail`` and nothing else (xinference-dify.md A0), so it stands beside.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from inference_gateway.chat import ChatError
from inference_gateway.codecs import openai

MOST_TOLD = 2000
#: What frameworks answer with where they have no route.
_NO_ROUTE = frozenset(("", "not found", "file not found", "404: not found", "404 page not found"))


def render_openai_error(status: int, body: bytes, path: str) -> bytes:
    """An engine's answer of 400 or above in OpenAI's shape; ``path`` is what was asked for. Nothing it says is lost."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        value = None
    fields = value if isinstance(value, dict) else {}
    error = fields.get("error")
    own: Mapping[str, Any] = error if isinstance(error, dict) else {}
    told = _find_told(fields, own) if fields else _read_text(value, body)
    code = own.get("code") or fields.get("code")
    if status == 404 and told.strip().rstrip(".").lower() in _NO_ROUTE:
        told, code = f"The engine has nothing at {path}: it answered 404.", "path_not_found"
    elif not told:
        told = f"The engine refused the request with {status}."
    code = code if isinstance(code, str) and code else ("engine_error" if status >= 500 else "invalid_request")
    param = own.get("param") or fields.get("param")
    plain = json.loads(openai.encode_error(ChatError(status, code, told, param if isinstance(param, str) else None)))
    kind = own.get("type") or fields.get("type")
    if isinstance(kind, str) and kind:
        plain["error"]["type"] = kind
    # What it said beside stays, such as llama.cpp's counts of tokens.
    plain["error"] = {**own, **plain["error"]}
    return json.dumps(plain, ensure_ascii=False).encode("utf-8", "replace")


def _find_told(fields: Mapping[str, Any], own: Mapping[str, Any]) -> str:
    error = fields.get("error")
    for value in (own.get("message"), error, fields.get("message"), fields.get("detail")):
        if isinstance(value, str) and value:
            return value[:MOST_TOLD]
    detail = fields.get("detail")
    if isinstance(detail, list):  # pydantic's: where, and what
        return "; ".join(_read_complaint(one) for one in detail)[:MOST_TOLD]
    return ""


def _read_complaint(one: Any) -> str:
    if not isinstance(one, dict):
        return str(one)
    places = one.get("loc")
    where = ".".join(str(place) for place in places) if isinstance(places, list) else ""
    return f"{where}: {one.get('msg')}" if where else str(one.get("msg"))


def _read_text(value: Any, body: bytes) -> str:
    """The body as a sentence, unless it is a page for people."""
    text = value if isinstance(value, str) else body.decode("utf-8", "replace").strip()
    return "" if text.startswith("<") else text[:MOST_TOLD]

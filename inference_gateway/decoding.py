"""Which codec reads a question: by its path, and for EAS's by the service's own defaults. Pure."""

from __future__ import annotations

from inference_gateway.codecs import Exchange, anthropic, eas, openai
from inference_gateway.directory import ServiceEntry
from inference_gateway.http import Scope, find_header
from inference_gateway.targets import Kind


def decode(body: bytes, kind: Kind, scope: Scope, service: ServiceEntry) -> Exchange:
    """The question in the dialect of its path. Raises ChatError 400."""
    if kind is Kind.CHAT_COMPLETIONS:
        return openai.decode_chat(body)
    if kind is Kind.COMPLETIONS:
        return openai.decode_completion(body)
    if kind is Kind.MESSAGES:
        return anthropic.decode(body)
    traits = service.traits
    media_type = find_header(scope, b"content-type") or ""
    return eas.decode(body, media_type, traits.eas_defaults, traits.policy.is_delta)

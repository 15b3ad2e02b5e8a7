"""Fields by which a caller would have the engine's machine run a template, load code or read its files. Pure.

The engines take them from whoever asks (gateway.md §5.2: CVEs of vLLM), so the gateway does not pass them on.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from inference_gateway.codecs.fields import refuse

#: Never a caller's.
REFUSED_FIELDS = ("chat_template", "mm_processor_kwargs")
TEMPLATE_FIELD = "chat_template_kwargs"
#: Arguments of the function that renders a template, rather than of the template.
_RENDERING = frozenset(
    (
        "add_generation_prompt",
        "chat_template",
        "continue_final_message",
        "conversation",
        "max_length",
        "padding",
        "return_assistant_tokens_mask",
        "return_dict",
        "return_tensors",
        "tokenize",
        "tokenizer_kwargs",
        "truncation",
    )
)
_MOST_SWITCHES, _MOST_CHARACTERS = 16, 200
#: Parts of a message that name something to fetch; each has its address below its own name.
_MEDIA = ("image_url", "video_url", "audio_url", "file_url")
_FETCHED = re.compile(r"(https?://|data:)", re.IGNORECASE)


def check_fields(values: Mapping[str, Any]) -> None:
    """Raise ChatError 400 that names the field. Switches of a template, such as ``enable_thinking``, are taken."""
    for name in REFUSED_FIELDS:
        if values.get(name) is not None:
            refuse(name, f"{name} is not taken from a request. Leave it out; the service decides it.")
    switches = values.get(TEMPLATE_FIELD)
    if switches is None:
        return
    if not isinstance(switches, Mapping) or len(switches) > _MOST_SWITCHES:
        refuse(TEMPLATE_FIELD, f"{TEMPLATE_FIELD} must be an object of at most {_MOST_SWITCHES} switches.")
    for name, value in switches.items():
        where = f"{TEMPLATE_FIELD}.{name[:50]}"
        if name in _RENDERING:
            refuse(where, f"{where} is not taken from a request. Leave it out; the service decides it.")
        is_short = not isinstance(value, str) or len(value) <= _MOST_CHARACTERS
        if not isinstance(value, str | int | float | bool | None) or not is_short:
            refuse(where, f"{where} must be true, false, a number or a short text.")


def check_part(where: str, part: Mapping[str, Any]) -> None:
    """A part of a message may name what is on the web or comes along, and nothing on the engine's machine."""
    for kind in _MEDIA:
        named = part.get(kind)
        address = named.get("url") if isinstance(named, Mapping) else named
        if address is not None and not (isinstance(address, str) and _FETCHED.match(address)):
            refuse(where, f"{where} has a {kind} that is no http, https or data address.")

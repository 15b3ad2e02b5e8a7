"""EAS's ChatLLM dialect over HTTP: eas.md §1.2 (bodies), §1.3 (fields), §1.4 and §1.5 (answers).

A streamed answer is a run of JSON objects, each followed by one NUL byte and each with ``response`` and
``history``. ``response`` is the text so far, or with ``is_delta`` the piece since the last frame.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

from inference_gateway.chat import Answer, ChatError, ChatEvent, ChatRequest, Text
from inference_gateway.codecs import JSON_TYPE
from inference_gateway.codecs.fields import Fields, decode_text, parse_object, refuse

STREAM_TYPE = "text/event-stream; charset=utf-8"
TEXT_TYPE = "text/plain; charset=utf-8"

#: No engine gives more; a number beyond it is a mistake and not a wish.
MOST_TOKENS = 10_000_000

Round = tuple[str, str]


@dataclass(frozen=True, slots=True)
class EasDefaults:
    """What a field means when a request leaves it out (eas.md §1.3); the flags of §1.7 change them.

    ``max_rounds`` earlier rounds reach the model at most; the history sent back is never shortened.
    """

    max_new_tokens: int = 2048
    temperature: float = 0.95
    top_k: int = 30
    top_p: float = 0.8
    max_rounds: int = 5
    system_prompt: str = ""


PAGE_DEFAULTS = EasDefaults()


@dataclass(frozen=True, slots=True)
class EasExchange:
    """A decoded question of this dialect; an ``Exchange``."""

    request: ChatRequest
    is_stream: bool
    prompt: str
    history: tuple[Round, ...]
    #: What the request itself said, for a dialogue that goes on with it; None where it said nothing.
    system_prompt: str | None = None
    has_history: bool = False
    #: The 1.0 dialect (``input_ids``): the answer is bare text.
    is_legacy: bool = False
    is_delta: bool = False
    stream_type: str = STREAM_TYPE

    @property
    def whole_type(self) -> str:
        return TEXT_TYPE if self.is_legacy else JSON_TYPE

    def encoder(self) -> EasStream:
        return EasStream(self.prompt, self.history, self.is_delta)

    def fold(self, answer: Answer) -> bytes:
        if self.is_legacy:
            return answer.text.encode("utf-8", "replace")
        rounds = [list(pair) for pair in self.history] + [[self.prompt, answer.text]]
        body: dict[str, Any] = {"response": answer.text, "history": rounds}
        if answer.usage is not None:
            body["usage"] = answer.usage.as_json()
        return _dump(body)

    def encode_error(self, error: ChatError) -> bytes:
        return encode_error(error)


def encode_error(error: ChatError) -> bytes:
    """The two keys of eas.md §1.8."""
    return _dump({"code": error.code, "message": error.message})


def decode(
    body: bytes, content_type: str = "", defaults: EasDefaults = PAGE_DEFAULTS, is_delta: bool = False
) -> EasExchange:
    """Read a body by its bytes rather than its label: JSON, a form, or else a prompt (eas.md §1.2).

    Raises ChatError 400.
    """
    text = decode_text(body)
    media_type = content_type.partition(";")[0].strip().lower()
    is_json = media_type == "application/json" or media_type.endswith("+json")
    if is_json or text.lstrip().startswith("{"):
        try:
            return decode_fields(parse_object(text), defaults, is_delta=is_delta)
        except ChatError as error:
            if is_json or error.code != "invalid_json":
                raise  # Otherwise it is a prompt that happens to begin with a brace.
    if media_type == "application/x-www-form-urlencoded":
        form = _parse_form(text)
        if form.keys() & {"prompt", "input_ids"}:
            return decode_fields(form, defaults, is_delta=is_delta)
    if media_type == "multipart/form-data":
        refuse(None, "A multipart form is not read here. Send JSON, a URL-encoded form or plain text.")
    return decode_fields({"prompt": text}, defaults, is_delta=is_delta)


def decode_fields(
    values: Mapping[str, Any],
    defaults: EasDefaults,
    *,
    history: tuple[Round, ...] = (),
    is_delta: bool = False,
    needs_prompt: bool = True,
) -> EasExchange:
    """A question from the fields of eas.md §1.3. ``history`` is used where the request brings none.

    ``langchain`` is answered without a knowledge base where there is none, so it is only checked for its
    type. Raises ChatError 400 that names the field.
    """
    fields = Fields(values)
    is_legacy = fields.has("input_ids") and not fields.has("prompt")
    prompt = fields.read_text("input_ids" if is_legacy else "prompt") or ""
    if needs_prompt and not prompt.strip():
        refuse("prompt", "prompt is missing or empty. Send the question in prompt, or as the whole body.")
    has_history = fields.has("history")
    rounds = _read_history(values["history"]) if has_history else history
    system_prompt = fields.read_text("system_prompt")
    for name in ("langchain", "use_cache"):
        fields.read_boolean(name, default=False)
    is_stream = fields.read_boolean("use_stream_chat", fields.read_boolean("use_stream", default=True))
    kept = rounds[len(rounds) - min(len(rounds), defaults.max_rounds) :]
    request = ChatRequest(
        messages=_render_messages(system_prompt or defaults.system_prompt, kept, prompt),
        max_tokens=_read_max_tokens(fields, defaults),
        stop=fields.read_texts("stop") + fields.read_texts("stop_sequences"),
        extra=_read_penalty(fields),
        **_read_sampling(fields, defaults),
    )
    return EasExchange(
        request=request,
        is_stream=is_stream and not is_legacy,
        prompt=prompt,
        history=rounds,
        system_prompt=system_prompt,
        has_history=has_history,
        is_legacy=is_legacy,
        is_delta=is_delta,
    )


def _parse_form(text: str) -> dict[str, Any]:
    """The fields of a URL-encoded form. Raises ChatError 400 for escapes that are not UTF-8."""
    try:
        pairs = parse_qs(text, keep_blank_values=True, errors="strict", max_num_fields=1000)
    except UnicodeDecodeError:
        refuse(None, "The form holds bytes that are not UTF-8. Encode it as UTF-8.", "invalid_encoding")
    except ValueError:
        return {}  # Too many fields: it is a text with many ampersands, not a form.
    form: dict[str, Any] = {name: values[-1] for name, values in pairs.items()}
    history = form.get("history")
    if isinstance(history, str):
        # A form has no lists: the history comes as JSON, or as Python's text of an empty one.
        is_empty = history.strip() in ("", "[]", "[()]", "None", "null")
        form["history"] = None if is_empty else parse_object('{"history":' + history + "}")["history"]
    return form


def _read_history(value: Any) -> tuple[Round, ...]:
    """Rounds of question and answer, oldest first; entries that are not pairs are skipped (eas.md §1.3)."""
    if isinstance(value, str) and not value.strip():
        return ()
    if not isinstance(value, list):
        refuse("history", "history must be a list of [question, answer] pairs.")
    rounds: list[Round] = []
    for entry in value:
        if not isinstance(entry, list) or len(entry) != 2:
            continue
        question, answer = ("" if side is None else side for side in entry)
        if not isinstance(question, str) or not isinstance(answer, str):
            refuse("history", "history must hold pairs of strings: [[question, answer], ...].")
        rounds.append((question, answer))
    return tuple(rounds)


def _render_messages(system_prompt: str, rounds: Sequence[Round], prompt: str) -> tuple[dict[str, str], ...]:
    messages = [{"role": "system", "content": system_prompt}] if system_prompt else []
    for question, answer in rounds:
        messages.append({"role": "user", "content": question})
        messages.append({"role": "assistant", "content": answer})
    return (*messages, {"role": "user", "content": prompt})


def _read_max_tokens(fields: Fields, defaults: EasDefaults) -> int:
    tokens = fields.read_integer("max_new_tokens", 1, MOST_TOKENS)
    if tokens is None:
        tokens = fields.read_integer("max_length", 1, MOST_TOKENS)
    return defaults.max_new_tokens if tokens is None else tokens


def _read_sampling(fields: Fields, defaults: EasDefaults) -> dict[str, Any]:
    """Temperature, top_p and top_k. ``do_sample: false``, and a temperature or top_p of 0, mean greedy.

    Values to 2 are taken for temperature: clients send them, and engines know what to do (eas.md §1.3).
    A top_k of 0 or -1 is what some clients send for "no limit".
    """
    temperature = fields.read_number("temperature", 0, 2)
    top_p = fields.read_number("top_p", 0, 1)
    top_k = fields.read_integer("top_k", -1, MOST_TOKENS)
    temperature = defaults.temperature if temperature is None else temperature
    top_p = defaults.top_p if top_p is None else top_p
    top_k = defaults.top_k if top_k is None else top_k
    if temperature == 0 or top_p == 0 or not fields.read_boolean("do_sample", default=True):
        return {"temperature": 0.0, "top_p": 1.0, "top_k": 1}
    return {"temperature": temperature, "top_p": top_p, "top_k": top_k if top_k > 0 else -1}


def _read_penalty(fields: Fields) -> dict[str, Any]:
    penalty = fields.read_number("repetition_penalty", 0.01, 10)
    # llama.cpp calls it repeat_penalty, vLLM repetition_penalty; each ignores the other's.
    return {} if penalty is None else {"repeat_penalty": penalty, "repetition_penalty": penalty}


def _dump(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")


class EasStream:
    """Writes frames; a ``StreamEncoder``.

    Every frame repeats the text so far, twice, and the whole history. Only the new piece is escaped: what
    went before is copied as bytes, so a long history costs little for each token.
    """

    def __init__(self, prompt: str, history: Sequence[Round] = (), is_delta: bool = False) -> None:
        rounds = "".join(f"[{_quote(question)}, {_quote(answer)}], " for question, answer in history)
        opening = f'", "history": [{rounds}[{_quote(prompt)}, "'
        self._opening = opening.encode("utf-8", "replace")
        self._is_delta = is_delta
        self._text = bytearray()

    def encode(self, event: ChatEvent) -> bytes:
        if not isinstance(event, Text) or event.index != 0 or not event.text:
            return b""
        piece = _quote(event.text)[1:-1].encode("utf-8", "replace")
        self._text += piece
        return self._frame(piece if self._is_delta else self._text)

    def finish(self) -> bytes:
        # A reader takes the last frame's history as the next request's, so there is always a frame.
        return b"" if self._text else self._frame(b"")

    def fail(self, error: ChatError) -> bytes:
        told = json.dumps({"code": error.code, "message": error.message}, ensure_ascii=False)
        response = b"" if self._is_delta else self._text
        return self._frame(response, b', "error": ' + told.encode("utf-8", "replace"))

    def _frame(self, response: bytes | bytearray, more: bytes = b"") -> bytes:
        parts = (b'{"response": "', response, self._opening, self._text, b'"]]', more, b"}\0")
        return b"".join(parts)


def _quote(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)

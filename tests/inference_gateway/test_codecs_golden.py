"""The exact bytes of every codec. A change here is a change of protocol: clients see it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import pytest

from inference_gateway.chat import Answer, Carried, ChatError, ChatEvent, Done, Reasoning, Text, ToolCalls, Usage
from inference_gateway.codecs import Exchange, eas, openai, websocket
from tests.inference_gateway.scripted import BROKEN, GREETING

GOLDEN = Path(__file__).with_name("golden")

HISTORY = '[["Où?", "Là \\"bas\\"."]]'
EAS_BODY = f'{{"prompt": "Grüße 世界", "history": {HISTORY}}}'.encode()
CHAT_BODY = b'{"messages": [{"role": "user", "content": "Hi"}], "stream_options": {"include_usage": "true"}}'
LOGPROBS = {"logprobs": {"content": [{"token": "Hi", "logprob": -0.5, "top_logprobs": []}]}}

RICH: tuple[ChatEvent, ...] = (
    Reasoning("Let me ", carried=Carried(answer={"system_fingerprint": "fp_1"})),
    Reasoning("think."),
    Text("Hi", carried=Carried(choice=LOGPROBS, delta={"annotations": [{"type": "note"}]})),
    ToolCalls(({"index": 0, "id": "call_1", "type": "function", "function": {"name": "look", "arguments": '{"q":'}},)),
    ToolCalls(({"index": 0, "function": {"arguments": '"世"}'}},)),
    Done("tool_calls"),
    Text("Second", index=1),
    Done("stop", index=1),
    Usage(3, 9, {"prompt_tokens": 3, "completion_tokens": 9, "total_tokens": 12, "details": {"cached": 1}}),
)


def _pin(exchange: openai.OpenAiExchange) -> openai.OpenAiExchange:
    return dataclasses.replace(exchange, answer_id="0123456789abcdef", created=1_700_000_000)


def _stream(exchange: Exchange, events: Sequence[ChatEvent], error: ChatError | None = None) -> bytes:
    encoder = exchange.encoder()
    frames = [encoder.encode(event) for event in events]
    frames.append(encoder.finish() if error is None else encoder.fail(error))
    return b"".join(frames)


def _dialogue() -> bytes:
    messages = [text for event in GREETING for text in websocket.encode(event)]
    messages += [websocket.END_OF_ROUND, websocket.encode_failure(BROKEN), websocket.END_OF_ROUND]
    return "\x1e".join(messages).encode()


def _render_cases() -> dict[str, bytes]:
    question = eas.decode(EAS_BODY, "application/json")
    delta = eas.decode(EAS_BODY, "application/json", is_delta=True)
    chat = _pin(openai.decode_chat(CHAT_BODY))
    completion = _pin(openai.decode_completion(b'{"prompt": "Once", "model": "m"}'))
    return {
        "eas_stream.bin": _stream(question, GREETING),
        "eas_stream_delta.bin": _stream(delta, GREETING),
        "eas_stream_broken.bin": _stream(question, GREETING[:1], BROKEN),
        "eas_answer.json": question.fold(Answer(GREETING)),
        "eas_error.json": question.encode_error(BROKEN),
        "openai_chat_stream.txt": _stream(chat, RICH),
        "openai_chat_stream_broken.txt": _stream(chat, GREETING[:1], BROKEN),
        "openai_chat_answer.json": chat.fold(Answer(RICH)),
        "openai_completion_stream.txt": _stream(completion, GREETING),
        "openai_completion_answer.json": completion.fold(Answer(GREETING)),
        "openai_error.json": chat.encode_error(ChatError(400, "unknown_role", "No.", "messages[0].role")),
        "openai_models.json": openai.encode_models(["chat"], 1_700_000_000, 2048),
        "websocket.txt": _dialogue(),
    }


CASES = _render_cases()


@pytest.mark.parametrize("name", CASES)
def test_a_codec_writes_its_golden_bytes(name: str) -> None:
    assert CASES[name] == (GOLDEN / name).read_bytes()


def test_every_golden_file_is_compared() -> None:
    assert {path.name for path in GOLDEN.iterdir()} == set(CASES)

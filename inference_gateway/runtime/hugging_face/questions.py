"""From a question to the token ids and settings that the scheduler needs: the model's own template, checked."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NoReturn

from inference_gateway.chat import ChatError, ChatRequest
from inference_gateway.codecs.fields import Fields
from inference_gateway.runtime.hugging_face.sampling import Sampling

#: Fields that change the answer and that this backend does not know: to ignore them would give another answer
#: than was asked for.
_UNSUPPORTED = (
    "tools",
    "functions",
    "logprobs",
    "top_logprobs",
    "logit_bias",
    "grammar",
    "json_schema",
    "echo",
    "suffix",
    "best_of",
)


@dataclass(frozen=True, slots=True)
class Question:
    """One answer to be made. ``seed`` lies in ``sampling``."""

    ids: tuple[int, ...]
    max_tokens: int
    stops: tuple[str, ...]
    sampling: Sampling
    ignores_end: bool


class QuestionReader:
    """``tokenizer`` and ``generation`` are the folder's; ``context_tokens`` is of one dialogue."""

    def __init__(self, tokenizer: Any, generation: Any, context_tokens: int) -> None:
        self._tokenizer = tokenizer
        self._generation = generation
        self._context_tokens = context_tokens
        #: Tokenizers complain when one thread encodes while another decodes.
        self._lock = threading.Lock()

    def decode(self, ids: Sequence[int]) -> str:
        with self._lock:
            text: str = self._tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return text

    def read(self, request: ChatRequest) -> list[Question]:
        """One question for each answer wanted, in the order of their indices. Raises ChatError 400."""
        for name in _UNSUPPORTED:
            if request.extra.get(name) not in (None, False, 0, [], {}):
                _refuse(name, f"{name} is not known to the Transformers backend. Leave it out.")
        kind = request.extra.get("response_format") or {}
        if not isinstance(kind, Mapping) or kind.get("type", "text") != "text":
            _refuse("response_format", "The Transformers backend answers in free text only. Leave response_format out.")
        sampling = self._read_sampling(request)
        fields = Fields(request.extra)
        questions = []
        for ids in self._read_prompts(request):
            if not ids:
                _refuse("prompt", "The prompt has no token. Say something.")
            room = self._context_tokens - len(ids)
            if room <= 0:
                raise _context_exceeded(len(ids), self._context_tokens)
            for number in range(request.n):
                seed = None if sampling.seed is None else sampling.seed + number
                questions.append(
                    Question(
                        ids=tuple(ids),
                        max_tokens=min(request.max_tokens or room, room),
                        stops=request.stop,
                        sampling=replace(sampling, seed=seed),
                        ignores_end=fields.read_boolean("ignore_eos", default=False),
                    )
                )
        return questions

    def _read_sampling(self, request: ChatRequest) -> Sampling:
        fields, own = Fields(request.extra), self._generation
        seed = fields.read_integer("seed", -(2**63), 2**64)
        repetition = fields.read_number("repetition_penalty", 0.01, 10)
        temperature = request.temperature if request.temperature is not None else own.temperature
        top_k = request.top_k if request.top_k is not None else own.top_k
        top_p = request.top_p if request.top_p is not None else own.top_p
        return Sampling(
            temperature=1.0 if temperature is None else temperature,
            top_k=max(0, top_k or 0),
            top_p=1.0 if top_p is None else top_p,
            repetition_penalty=(own.repetition_penalty or 1.0) if repetition is None else repetition,
            presence_penalty=fields.read_number("presence_penalty", -2, 2) or 0.0,
            frequency_penalty=fields.read_number("frequency_penalty", -2, 2) or 0.0,
            seed=None if seed == -1 else seed,
        )

    def _read_prompts(self, request: ChatRequest) -> list[list[int]]:
        prompt = request.prompt
        if prompt is None:
            return [self._encode(self._apply_template(request), adds_special_tokens=False)]
        if isinstance(prompt, str):
            return [self._encode(prompt, adds_special_tokens=True)]
        if all(isinstance(item, str) for item in prompt):
            return [self._encode(text, adds_special_tokens=True) for text in prompt]
        size = len(self._tokenizer)
        if not all(isinstance(item, int) and 0 <= item < size for item in prompt):
            _refuse("prompt", f"Token ids of this model are from 0 to {size - 1}.")
        return [prompt]

    def _encode(self, text: str, adds_special_tokens: bool) -> list[int]:
        with self._lock:
            # No warning of a long text: that is answered with numbers.
            encoded = self._tokenizer(text, add_special_tokens=adds_special_tokens, verbose=False)
        ids: list[int] = encoded["input_ids"]
        return ids

    def _apply_template(self, request: ChatRequest) -> str:
        """The dialogue as the model's text: up to the beginning of an answer, or within the last message.

        ``continue_final_message`` and ``add_generation_prompt`` are vLLM's fields; ``Prompting`` has checked them.
        """
        fields = Fields(request.extra)
        goes_on = fields.read_boolean("continue_final_message", default=False)
        begins = fields.read_boolean("add_generation_prompt", default=not goes_on)
        if not self._tokenizer.chat_template:
            raise ChatError(
                400,
                "no_chat_template",
                "This model has no chat template: it continues text. Start it with --no-template, "
                "or ask /v1/completions.",
            )
        plain = [_flatten(message) for message in request.messages]
        try:
            text: str = self._tokenizer.apply_chat_template(
                plain, tokenize=False, add_generation_prompt=begins, continue_final_message=goes_on
            )
        except Exception as error:  # Templates raise what they like for roles that they do not take.
            raise ChatError(
                400, "invalid_request", f"The model's template does not take these messages: {error}"[:2000], "messages"
            ) from error
        return text


def _flatten(message: Mapping[str, Any]) -> dict[str, Any]:
    """The message with its content as one text, which is what templates of text models read."""
    content = message.get("content")
    if isinstance(content, list):
        if any(part.get("type") != "text" for part in content):
            raise ChatError(400, "invalid_request", "This model reads text only, no image and no sound.", "messages")
        content = "".join(part["text"] for part in content)
    if calls := message.get("tool_calls"):
        functions = [call.get("function") for call in calls if isinstance(call, Mapping)]
        if not all(isinstance(function, Mapping) and function.get("name") for function in functions):
            raise ChatError(400, "invalid_request", "A tool call needs a function with a name.", "messages")
    return {**message, "content": content or ""}


def _refuse(field: str, message: str) -> NoReturn:
    raise ChatError(400, "invalid_request", message, field)


def _context_exceeded(prompt_tokens: int, context_tokens: int) -> ChatError:
    return ChatError(
        400,
        "context_length_exceeded",
        f"The prompt is {prompt_tokens} tokens long and the model's context holds {context_tokens}. "
        "Shorten the prompt or the history.",
        "messages",
    )

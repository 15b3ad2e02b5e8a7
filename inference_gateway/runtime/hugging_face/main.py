"""The child process that computes: a Hugging Face folder behind OpenAI's paths on a private Unix socket.

Run, never imported. Why a process: see ``engine_process``. What it speaks are the gateway's own codecs, so that
the runtime asks it as it asks llama.cpp's server.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import transformers
import uvicorn

from inference_gateway.answer import answer_exchange
from inference_gateway.chat import ChatError
from inference_gateway.codecs import openai
from inference_gateway.http import ClientGoneError, Receive, Scope, Send, read_body, send_body
from inference_gateway.runtime.engine_process import READY_LINE, end_with_parent, exit_at_end_of_input
from inference_gateway.runtime.hugging_face.batch import Model
from inference_gateway.runtime.hugging_face.engine import Scheduler, TransformersEngine
from inference_gateway.runtime.hugging_face.questions import QuestionReader

logger = logging.getLogger("slipway.transformers")

_DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
_DECODERS = {"/v1/chat/completions": openai.decode_chat, "/v1/completions": openai.decode_completion}
#: A template and its history as JSON inside JSON: what the runtime took may be longer here.
_LONGEST_BODY_BYTES = 16 * 1024 * 1024


def main(argument: str) -> None:
    """``argument`` is a JSON object: path, socket, slots, context_tokens, threads, precision (null: the folder's),
    cpu (never a GPU), parent.
    """
    settings = json.loads(argument)
    end_with_parent(settings["parent"])
    # A stop goes to the whole group; the parent drains first and ends this process afterwards.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=exit_at_end_of_input, daemon=True).start()
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(levelname)s %(message)s")
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    torch.set_num_threads(settings["threads"])
    try:
        engine = load_engine(settings)
    except Exception as error:
        logger.debug("Loading failed", exc_info=error)
        sys.stderr.write(f"ERROR {type(error).__name__}: {' '.join(str(error).split())[:500]}\n")
        sys.exit(1)
    asyncio.run(_serve(engine, settings["socket"]))


def load_engine(settings: dict[str, Any]) -> TransformersEngine:
    """Raises whatever Transformers does for a folder that it cannot load. No code of the folder is run."""
    began, path = time.monotonic(), Path(settings["path"])
    device = torch.device("cuda" if torch.cuda.is_available() and not settings["cpu"] else "cpu")
    precision = settings["precision"]
    # The folder's own fits what was planned, on a processor too.
    dtype = _DTYPES[precision] if precision else "auto"
    tokenizer = transformers.AutoTokenizer.from_pretrained(path, local_files_only=True)
    module = transformers.AutoModelForCausalLM.from_pretrained(path, dtype=dtype, local_files_only=True)
    module = module.to(device).eval()
    generation = module.generation_config
    ends = read_ends(generation.eos_token_id, tokenizer.eos_token_id)
    model = Model(module)
    scheduler = Scheduler(model, settings["slots"], ends)
    scheduler.start()
    kind = "together" if model.is_batchable() else "in turns"
    taken = time.monotonic() - began
    logger.info("%s on %s in %s, dialogues %s, %.1f s", type(module).__name__, device, module.dtype, kind, taken)
    reader = QuestionReader(tokenizer, generation, settings["context_tokens"])
    return TransformersEngine(model, reader, scheduler, ends)


def read_ends(*values: int | list[int] | None) -> frozenset[int]:
    """The ids that end an answer, as generation settings and tokenizers write them: none, one or several."""
    return frozenset(
        one for value in values if value is not None for one in (value if isinstance(value, list) else [value])
    )


async def _serve(engine: TransformersEngine, socket_path: str) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            decode = _DECODERS.get(scope["path"])
            if decode is None:
                raise ChatError(404, "path_not_found", f"There is nothing at {scope['path']}.")
            exchange = decode(await read_body(scope, receive, _LONGEST_BODY_BYTES))
            await answer_exchange(exchange, engine, receive, send)
        except ChatError as error:
            await send_body(send, error.status, openai.encode_error(error))
        except ClientGoneError:
            return

    config = uvicorn.Config(
        app,
        uds=socket_path,
        loop="none",
        http="httptools",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        log_level="warning",
    )
    await _Server(config).serve()


class _Server(uvicorn.Server):
    """Says when it answers, and leaves signals alone."""

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        sys.stdout.write(f"{READY_LINE}\n")
        sys.stdout.flush()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


if __name__ == "__main__":
    main(sys.argv[1])

"""The child process that computes: llama.cpp's own server on a private Unix socket. Run by its path.

Why a process: loading holds Python's global lock for seconds, in which a server in the same process could
not even answer /health; both start side by side; and a crash in native code is seen and told. It ends when
its parent does, however that ends.

Why its HTTP and not calls into it: a call learns of a caller's leaving only with the next token, so never
while a long prompt is read; a closed connection is noticed then too.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import threading

#: Written to standard output once the model is loaded and the socket answers.
READY_LINE = "ready"

#: Tokens of a prompt that are read in one step. Between steps the engine notices who has left and lets other
#: dialogues make their tokens. On 2 busy cores a step of its own 2048 took 20 s; steps of 128 were no slower
#: together.
BATCH_TOKENS = 128

_PR_SET_PDEATHSIG = 1


def main(argument: str) -> None:
    """``argument`` is a JSON object: path, socket, slots, context_tokens (of one slot), threads (that make tokens),
    prompt_threads (that read prompts), parent.
    """
    settings = json.loads(argument)
    end_with_parent(settings["parent"])
    # A stop goes to the whole group; the parent drains first and ends this process afterwards.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=exit_at_end_of_input, daemon=True).start()

    # Heavy, and not needed by whoever only looks at this module.
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = settings["path"]
    params.hostnames = [settings["socket"]]
    params.n_parallel = settings["slots"]
    params.n_ctx = settings["slots"] * settings["context_tokens"]
    params.cpuparams.n_threads = settings["threads"]
    params.cpuparams_batch.n_threads = settings["prompt_threads"]
    params.n_batch = params.n_ubatch = BATCH_TOKENS
    # Trying out how much fits in a GPU's memory took 1.4 s of a start that is 0.6 s without it.
    params.fit_params = False
    # A prompt that does not fit is refused; shifting would silently forget its beginning.
    params.ctx_shift = False
    params.endpoint_slots = True
    # Prompts of earlier callers stay out of memory that outlives their slot.
    params.cache_ram_mib = 0
    server = xllamacpp.Server(params)
    sys.stdout.write(f"{READY_LINE} {server.listening_address}\n")
    sys.stdout.flush()
    threading.Event().wait()


def end_with_parent(parent_pid: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:  # It ended before the line above took effect.
        os._exit(0)


def exit_at_end_of_input() -> None:
    """Standard input is a pipe that nobody writes to: it ends with the parent, on any system."""
    sys.stdin.buffer.read()
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1])

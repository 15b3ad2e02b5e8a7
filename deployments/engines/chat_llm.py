"""Not accelerated: the chat-llm runtime (eas.md §1.7), llama.cpp for GGUF and Transformers for the rest."""

from __future__ import annotations

from deployments.catalog import Precision
from deployments.engines.recipe import BARE, MODEL, NUMBER, WRITABLE, EngineMemory, Launch, Recipe

#: What ``--precision`` takes of Transformers; quantised weights and GGUF files say themselves what they are.
FLAG_PRECISIONS = (Precision.FP32, Precision.FP16, Precision.BF16)


#: Dialogues the runtime generates at once from one GGUF file unless told otherwise.
GGUF_SLOTS = 4


def arguments(launch: Launch) -> tuple[str, ...]:
    words = [f"--port={launch.port}", f"--model-path={launch.model}"]
    if launch.gpus and launch.precision in FLAG_PRECISIONS:
        words.append(f"--precision={launch.precision}")
    if launch.on_cpu:
        words.append("--cpu")
    if not launch.gpus and launch.context_tokens is not None:
        words.append(f"--context={launch.context_tokens}")
    if not launch.gpus and launch.users is not None:
        words.append(f"--slots={launch.users}")
    return tuple(words)


CHAT_LLM = Recipe(
    key="none",
    title="Not Accelerated",
    label="chat-llm",
    image="chat-llm-webui:3.0",
    program=("python", "webui/webui_server.py"),
    other_programs=(("python", "api/api_server.py"),),
    flags={
        "port": NUMBER,
        "model-path": MODEL,
        "precision": "fp32|fp16|bf16",
        "cpu": BARE,
        "context": NUMBER,
        "slots": NUMBER,
        "threads": NUMBER,
        "api-only": BARE,
        "no-template": BARE,
        "export-history-path": WRITABLE,
        "export-interval": NUMBER,
        "max-new-tokens": NUMBER,
        "max-round": NUMBER,
        "temperature": r"[0-9]+(\.[0-9]+)?",
        "top-k": NUMBER,
        "top-p": r"[0-9]+(\.[0-9]+)?",
        "log-level": "DEBUG|INFO|WARNING|ERROR",
    },
    arguments=arguments,
    default_port=8000,
    health_path="/health",
    precisions=frozenset(Precision),
    # Transformers holds no pool of its own: CUDA context (about 0.5 GiB) and the activations of one prompt.
    # On a processor PyTorch takes 0.43 GiB before the first weight. llama.cpp takes less: the bundled model with
    # 4 dialogues of 8,192 tokens was seen at 912 MiB resident, 814 of them weights and cache.
    memory=EngineMemory(runtime_gib=1.5, cpu_runtime_gib=0.5),
    splits_heads=False,
)

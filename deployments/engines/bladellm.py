"""BladeLLM (eas.md §6.1): Kubernetes only, NVIDIA GPUs of the A, H and L series only."""

from __future__ import annotations

from deployments.catalog import Precision
from deployments.engines.recipe import MODEL, NUMBER, EngineMemory, Launch, Recipe

_DTYPES = {Precision.FP32: "float32", Precision.FP16: "float16", Precision.BF16: "bfloat16"}


def arguments(launch: Launch) -> tuple[str, ...]:
    words = [f"--model {launch.model}", "--host 0.0.0.0", f"--port {launch.port}"]
    if launch.gpus > 1:
        words.append(f"--tensor_parallel_size {launch.gpus}")
    if launch.precision in _DTYPES:
        words.append(f"--dtype {_DTYPES[launch.precision]}")
    return tuple(words)


BLADELLM = Recipe(
    key="bladellm",
    title="BladeLLM",
    label="bladellm",
    image="chat-llm-webui:3.0-blade",
    program=("blade_llm_server",),
    other_programs=(),
    flags={
        "model": MODEL,
        "host": r"0\.0\.0\.0",
        "port": NUMBER,
        "tensor-parallel-size": NUMBER,
        "dtype": "float32|float16|bfloat16",
    },
    arguments=arguments,
    default_port=8081,
    health_path="",  # no health route is documented (eas.md §6.1)
    precisions=frozenset({Precision.FP32, Precision.FP16, Precision.BF16}),
    # Its documentation asks for 1.7 times the weights, of which cache and activations are part (eas.md §5.2).
    memory=EngineMemory(runtime_gib=1.5, weights_factor=1.7),
    splits_heads=True,
    unfit_gpus=("P100", "P4", "V100", "T4"),
)

"""vLLM's OpenAI server (eas.md §6.2): ``vllm serve`` in its image, its module where only the package is."""

from __future__ import annotations

from deployments.catalog import Precision
from deployments.engines.recipe import BARE, MODEL, NUMBER, WORD, EngineMemory, Launch, Recipe

_DTYPES = {Precision.FP32: "float32", Precision.FP16: "float16", Precision.BF16: "bfloat16"}

#: What a model takes is guessed from its size where it is a folder of one's own.
LEAST_CACHE_MIB = 1024


def arguments(launch: Launch) -> tuple[str, ...]:
    words = [launch.model, f"--port {launch.port}", f"--served-model-name {launch.served_name}"]
    if launch.gpus > 1:
        words.append(f"--tensor-parallel-size {launch.gpus}")
    if launch.context_tokens is not None:
        words.append(f"--max-model-len {launch.context_tokens}")
    if launch.precision in _DTYPES:
        words.append(f"--dtype {_DTYPES[launch.precision]}")
    elif launch.precision is Precision.FP8:
        words.append("--quantization fp8")
    if launch.on_cpu:
        # Compiling takes minutes and a compiler. Of the machine's memory it would take nine tenths.
        words += ["--enforce-eager", f"--max-num-seqs {launch.users or 1}"]
        words.append(f"--kv-cache-memory-bytes {max(launch.cache_mib or 0, LEAST_CACHE_MIB)}M")
    if launch.remote_code:
        words.append("--trust-remote-code")
    return tuple(words)


VLLM = Recipe(
    key="vllm",
    title="vLLM",
    label="vllm",
    image="vllm:0.14.0-gpu",
    program=("vllm", "serve"),
    other_programs=(("python", "-m", "vllm.entrypoints.openai.api_server"),),
    flags={
        "port": NUMBER,
        "model": MODEL,
        "served-model-name": WORD,
        "tensor-parallel-size": NUMBER,
        "max-model-len": NUMBER,
        "dtype": "float32|float16|bfloat16",
        "quantization": "fp8",
        "enforce-eager": BARE,
        "max-num-seqs": NUMBER,
        "kv-cache-memory-bytes": r"[0-9]{1,7}M",
        "trust-remote-code": BARE,
    },
    arguments=arguments,
    default_port=8000,
    health_path="/health",
    precisions=frozenset(Precision),
    # --gpu-memory-utilization is 0.9 unless given (vLLM's engine arguments), and inside it about 1 GiB
    # goes to the activations of the largest batch, which it measures at start. Without a GPU: PyTorch and
    # the server process.
    memory=EngineMemory(runtime_gib=1.0, reserved_share=0.1, cpu_runtime_gib=3.0),
    splits_heads=True,
)

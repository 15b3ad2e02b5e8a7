"""How much memory a model needs, as arithmetic alone.

    weights + key-value cache + runtime

* weights: parameters × bytes of the precision; in quantised copies the token tables stay at 16 bits and every
  group of 128 weights carries a 16-bit scale and a zero point of the precision (GPTQ and AWQ files). A file
  that is known is counted by its size.
* key-value cache: 2 × layers × key-value heads × head size × bytes × context × users (one latent vector a layer
  for latent attention); with tensor parallelism no GPU holds less than one head.
* runtime: what the engine's recipe states (``EngineMemory``).

Checked by hand: Qwen2.5-7B at bf16 is 14.2 GiB and 0.44 GiB for 8,192 tokens, Llama-3.1-8B 15.0 and 4.0 GiB
for 32,768.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from deployments.catalog import QUANTISED, CatalogModel, Precision, load_catalog
from deployments.engines import EngineMemory
from deployments.machines import GIB, Machine

BITS = {
    Precision.FP32: 32.0,
    Precision.FP16: 16.0,
    Precision.BF16: 16.0,
    Precision.FP8: 8.0,
    Precision.INT8: 8 + (16 + 8) / 128,
    Precision.INT4: 4 + (16 + 4) / 128,
}


@dataclass(frozen=True, slots=True)
class ModelSize:
    """What the arithmetic needs to know of a model."""

    parameters: float
    embedding_parameters: float
    kv_elements_per_token: float
    kv_heads: int
    attention_heads: int
    context_tokens: int
    file_bytes: int | None = None

    def weights_gib(self, precision: Precision) -> float:
        if self.file_bytes is not None:
            return self.file_bytes / GIB
        tables = self.embedding_parameters if precision in QUANTISED else 0.0
        return ((self.parameters - tables) * BITS[precision] / 8 + tables * 2) / GIB

    def kv_gib_per_token(self, precision: Precision, gpus: int) -> float:
        """Cache of one token over all GPUs. It is kept at 16 bits, at 32 where the weights are."""
        bytes_each = 4 if precision is Precision.FP32 else 2
        copies = max(1.0, gpus / self.kv_heads)
        return self.kv_elements_per_token * bytes_each * copies / GIB


@dataclass(frozen=True, slots=True)
class MemoryBar:
    """One machine's memory in GiB: of its GPUs together, or of the machine where it has none."""

    total_gib: float
    weights_gib: float
    kv_cache_gib: float
    runtime_gib: float

    @property
    def needed_gib(self) -> float:
        return self.weights_gib + self.kv_cache_gib + self.runtime_gib

    @property
    def free_gib(self) -> float:
        return max(0.0, self.total_gib - self.needed_gib)

    @property
    def shortfall_gib(self) -> float:
        return max(0.0, self.needed_gib - self.total_gib)


def size_of(model: CatalogModel) -> ModelSize:
    return ModelSize(
        parameters=model.parameters_billion * 1e9,
        embedding_parameters=model.embedding_parameters,
        kv_elements_per_token=model.kv_elements_per_token,
        # A latent vector is not cut by heads: every GPU keeps all of it.
        kv_heads=1 if model.kv_elements_per_layer else model.kv_heads,
        attention_heads=model.attention_heads,
        context_tokens=model.context_tokens,
        file_bytes=model.gguf.size_bytes if model.gguf else None,
    )


def size_of_custom(parameters_billion: float, family: str = "") -> ModelSize:
    """A model known by its size alone: shaped like the nearest of its family, its cache scaled with its size."""
    models = [model for model in load_catalog() if model.family.lower() == family.lower()] or list(load_catalog())
    nearest = min(
        (model for model in models), key=lambda model: abs(math.log(model.parameters_billion / parameters_billion))
    )
    scale = parameters_billion / nearest.parameters_billion
    shape = size_of(nearest)
    return ModelSize(
        parameters=parameters_billion * 1e9,
        embedding_parameters=min(shape.embedding_parameters, parameters_billion * 5e8),
        kv_elements_per_token=shape.kv_elements_per_token * scale,
        kv_heads=shape.kv_heads,
        attention_heads=shape.attention_heads,
        context_tokens=shape.context_tokens,
    )


def plan_memory(
    size: ModelSize, precision: Precision, engine: EngineMemory, machine: Machine, gpus: int, tokens: int
) -> MemoryBar:
    """The bar of ``tokens`` (context × users) on ``gpus`` cards of a machine, or on its processor for 0."""
    weights = size.weights_gib(precision)
    cache = size.kv_gib_per_token(precision, gpus) * tokens
    if gpus == 0:
        return MemoryBar(machine.memory_mib / 1024, weights, cache, engine.cpu_runtime_gib)
    total = gpus * machine.gpu_memory_gib
    runtime = gpus * engine.runtime_gib + total * engine.reserved_share
    rule_of_thumb = engine.weights_factor * weights - weights - cache
    return MemoryBar(total, weights, cache, max(runtime, rule_of_thumb))

"""Dialogues that take their steps through the model together, with their key-value caches.

Rows of a batch differ in length: shorter ones are padded at their left, which the attention mask hides. That is
sound for caches of plain attention only. Where a layer keeps a window or a state, every dialogue stays a batch of
one, and they take turns.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer


class Model:
    """A loaded model, called without gradients. ``device`` is where its inputs go."""

    def __init__(self, module: Any) -> None:
        self._module = module
        self._keeps_logits = "logits_to_keep" in inspect.signature(module.forward).parameters
        self.device: torch.device = module.device

    def make_cache(self) -> DynamicCache:
        return DynamicCache(config=self._module.config)

    def is_batchable(self) -> bool:
        return all(type(layer) is DynamicLayer for layer in self.make_cache().layers)

    def run(self, ids: Sequence[Sequence[int]], cache: DynamicCache, **inputs: torch.Tensor) -> torch.Tensor:
        """Read more tokens of each row; returns the scores of what follows, one row each."""
        options = {"logits_to_keep": 1} if self._keeps_logits else {}
        tokens = torch.tensor(ids, device=self.device)
        with torch.inference_mode():
            output = self._module(input_ids=tokens, past_key_values=cache, use_cache=True, **inputs, **options)
        scores: torch.Tensor = output.logits[:, -1]
        return scores


class Batch:
    """``lengths`` are the tokens of each row that the cache holds."""

    def __init__(self, cache: DynamicCache, length: int) -> None:
        self.lengths = [length]
        self._cache = cache

    def step(self, model: Model, tokens: Sequence[int]) -> torch.Tensor:
        """Read one token a row; returns a row of scores for each."""
        width = max(self.lengths)
        inputs: dict[str, torch.Tensor] = {}
        if len(self.lengths) > 1:
            columns = torch.arange(width + 1, device=model.device)
            lengths = torch.tensor(self.lengths, device=model.device)[:, None]
            inputs["attention_mask"] = (columns >= width - lengths).long()
            inputs["position_ids"] = lengths
        scores = model.run([[token] for token in tokens], self._cache, **inputs)
        self.lengths = [length + 1 for length in self.lengths]
        return scores

    def join(self, other: Batch) -> None:
        """Take the rows of ``other`` in, after one's own."""
        width = max(*self.lengths, *other.lengths)
        for mine, others in zip(self._cache.layers, other._cache.layers, strict=True):
            mine.keys = torch.cat([_widen(mine.keys, width), _widen(others.keys, width)])
            mine.values = torch.cat([_widen(mine.values, width), _widen(others.values, width)])
        self.lengths += other.lengths

    def keep(self, rows: Sequence[int]) -> None:
        """Forget all other rows, and the padding that nobody needs any more. At least one row stays."""
        self.lengths = [self.lengths[row] for row in rows]
        width = max(self.lengths)
        for layer in self._cache.layers:
            if type(layer) is DynamicLayer:
                layer.keys = layer.keys[list(rows), :, -width:].contiguous()
                layer.values = layer.values[list(rows), :, -width:].contiguous()


def _widen(states: torch.Tensor, width: int) -> torch.Tensor:
    """(rows, heads, tokens, size) with padding in front of the tokens."""
    return torch.nn.functional.pad(states, (0, 0, width - states.shape[-2], 0))

"""Chooses the next token from a model's scores, as OpenAI's and EAS's fields ask."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch


@dataclass(frozen=True, slots=True)
class Sampling:
    """``top_k`` 0 and ``top_p`` 1 leave all tokens in; a ``temperature`` of 0 takes the likeliest."""

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    seed: int | None = None


class Sampler:
    """One answer's choices. The same seed gives the same choices for the same scores."""

    def __init__(
        self, sampling: Sampling, prompt: Sequence[int], forbidden: Sequence[int], device: torch.device
    ) -> None:
        self._sampling = sampling
        self._forbidden = list(forbidden)
        self._seen = set(prompt)
        self._counts: dict[int, int] = {}
        self._generator = torch.Generator(device)
        if sampling.seed is None:
            self._generator.seed()
        else:
            self._generator.manual_seed(sampling.seed % 2**63)

    def choose(self, scores: torch.Tensor) -> int:
        """``scores`` is one row of logits, which is left as it is."""
        scores = self._penalise(scores.float())
        chosen = self._sample(scores)
        self._counts[chosen] = self._counts.get(chosen, 0) + 1
        self._seen.add(chosen)
        return chosen

    def _penalise(self, scores: torch.Tensor) -> torch.Tensor:
        sampling = self._sampling
        if self._forbidden:
            scores = scores.clone()
            scores[self._forbidden] = -torch.inf
        if sampling.repetition_penalty != 1.0:
            ids = torch.tensor(sorted(self._seen), device=scores.device)
            old = scores[ids]
            factor = sampling.repetition_penalty
            scores = scores.index_put((ids,), torch.where(old < 0, old * factor, old / factor))
        if self._counts and (sampling.presence_penalty or sampling.frequency_penalty):
            ids = torch.tensor(list(self._counts), device=scores.device)
            counts = torch.tensor(list(self._counts.values()), device=scores.device, dtype=scores.dtype)
            penalty = sampling.presence_penalty + sampling.frequency_penalty * counts
            scores = scores.index_put((ids,), scores[ids] - penalty)
        return scores

    def _sample(self, scores: torch.Tensor) -> int:
        sampling = self._sampling
        if sampling.temperature < 1e-5 or sampling.top_k == 1 or sampling.top_p <= 0:
            return int(scores.argmax())
        count = min(sampling.top_k, scores.numel()) if sampling.top_k > 0 else scores.numel()
        scores, ids = (scores / sampling.temperature).topk(count)  # From the likeliest down.
        likelihoods = scores.softmax(-1)
        if sampling.top_p < 1:
            # A token stays where those before it do not reach top_p yet; the first always does.
            likelihoods = likelihoods.where(likelihoods.cumsum(-1) - likelihoods < sampling.top_p, 0)
        return int(ids[torch.multinomial(likelihoods, 1, generator=self._generator)])

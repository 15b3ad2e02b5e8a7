"""A model on one machine: how much of it an instance takes, what that holds, and the same in words. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from deployments.catalog import CatalogModel, Precision
from deployments.clusters.base import Capacity, Refusal
from deployments.engines import Recipe
from deployments.engines.chat_llm import GGUF_SLOTS
from deployments.machines import Machine, load_instance_types
from deployments.memory_plan import MemoryBar, ModelSize, plan_memory
from deployments.words import in_digits, number

CPU_HEADROOM = 1.5  # over the arithmetic, because a local instance above its memory is killed
MAX_CPU_CORES = 8
#: Of a node that sets cores aside: two instances, and the one that an update adds, find room beside others.
RESERVED_SHARE = 0.25
LEAST_CPU_CORES = 0.25


@dataclass(frozen=True, slots=True)
class Wanted:
    """A model as it should be served. ``model`` is None for a folder of one's own."""

    title: str
    size: ModelSize
    recipe: Recipe
    precision: Precision
    is_precision_chosen: bool
    context_tokens: int
    users: int
    is_users_chosen: bool
    model: CatalogModel | None = None

    @property
    def is_bundled(self) -> bool:
        return self.model is not None and self.model.is_bundled

    def runs_on_processor(self, node: Capacity) -> bool:
        """Whether it can do without a GPU there: llama.cpp reads GGUF, and vLLM has a build for processors."""
        if self.model is not None:
            return self.model.is_bundled
        return self.recipe.key == "none" or not node.downloads


@dataclass(frozen=True, slots=True)
class Recommendation:
    """Resources of one instance, and what they hold. ``memory_mb`` is in EAS's MB, which are MiB."""

    machine: Machine
    cpu: float
    memory_mb: int
    gpu: int
    precision: Precision  # of the weights in memory
    context_tokens: int
    users: int
    bar: MemoryBar
    most_context_tokens: int  # for that many users
    most_users: int  # of that context
    sentences: tuple[str, ...]
    refusal: Refusal | None = None

    @property
    def fits(self) -> bool:
        return self.bar.shortfall_gib == 0

    def as_dict(self) -> dict[str, Any]:
        """For REST and pages; ``refusal`` is absent where there is none. GiB to one decimal."""
        answer: dict[str, Any] = {
            "cpu": self.cpu,
            "memory": self.memory_mb,
            "gpu": self.gpu,
            "gpu_product": self.machine.gpu_product if self.gpu else "",
            "instance_type": self.machine.instance_type,
            "precision": str(self.precision),
            "context_tokens": self.context_tokens,
            "users": self.users,
            "most_context_tokens": self.most_context_tokens,
            "most_users": self.most_users,
            "bar": {
                "total_gib": round(self.bar.total_gib, 1),
                "weights_gib": round(self.bar.weights_gib, 1),
                "kv_cache_gib": round(self.bar.kv_cache_gib, 1),
                "runtime_gib": round(self.bar.runtime_gib, 1),
                "free_gib": round(self.bar.free_gib, 1),
                "shortfall_gib": round(self.bar.shortfall_gib, 1),
            },
            "fits": self.fits and self.refusal is None,
            "sentences": list(self.sentences),
        }
        if self.refusal is not None:
            answer["refusal"] = {
                "code": self.refusal.code, "message": self.refusal.message, "cure": self.refusal.cure,
            }  # fmt: skip
        return answer


def usable_nodes(wanted: Wanted, nodes: Iterable[Capacity]) -> list[Capacity]:
    """Nodes with the engine, and with GPUs that it runs on or without the need for one."""
    return [
        node
        for node in nodes
        if wanted.recipe.label in node.images
        and (
            wanted.runs_on_processor(node)
            if not node.gpus or wanted.is_bundled
            else not wanted.recipe.is_unfit(node.gpu_product)
        )
    ]


def rentable(wanted: Wanted) -> list[Machine]:
    """Machines with a GPU that the engine runs on, from small to large."""
    return [one for one in load_instance_types() if one.gpus and not wanted.recipe.is_unfit(one.gpu_product)]


def fit(wanted: Wanted, machine: Machine, refusal: Refusal | None) -> Recommendation:
    """``wanted`` on a machine, with as few of its GPUs as hold it; on the processor where it has none."""
    precision = wanted.precision
    if precision is Precision.BF16 and not machine.has_bfloat16 and not wanted.is_precision_chosen:
        precision = Precision.FP16
    counts = [0] if wanted.is_bundled or not machine.gpus else gpu_counts(wanted, machine)
    if counts == [0] and not wanted.is_users_chosen:
        wanted = replace(wanted, users=GGUF_SLOTS)
    tokens = wanted.context_tokens * wanted.users
    for gpus in counts:
        bar = plan_memory(wanted.size, precision, wanted.recipe.memory, machine, gpus, tokens)
        if not bar.shortfall_gib:
            break
    room_gib = bar.free_gib + bar.kv_cache_gib if not bar.shortfall_gib else 0.0
    tokens_held = int(room_gib / wanted.size.kv_gib_per_token(precision, gpus) * (1 + 1e-9))
    most_context = min(wanted.size.context_tokens, tokens_held // wanted.users)
    most_users = tokens_held // wanted.context_tokens
    cpu, memory_mb = share_of(wanted, machine, gpus, bar)
    found = Recommendation(
        machine, cpu, memory_mb, gpus, precision, wanted.context_tokens, wanted.users, bar, most_context, most_users,
        (), refusal,
    )  # fmt: skip
    return with_sentences(found, wanted)


def gpu_counts(wanted: Wanted, machine: Machine) -> list[int]:
    """Numbers of GPUs that can share the model; at least one."""
    heads = wanted.size.attention_heads
    return [n for n in range(1, machine.gpus + 1) if n == 1 or not wanted.recipe.splits_heads or heads % n == 0]


def share_of(wanted: Wanted, machine: Machine, gpus: int, bar: MemoryBar) -> tuple[float, int]:
    """Cores and MiB of an instance: a rented machine as a whole, of a shared one what the model needs."""
    if machine.instance_type:
        return machine.cpu_cores, machine.memory_mib
    if gpus:  # weights pass through the machine's memory on their way to the GPU
        memory_mib = max(16 * 1024, math.ceil(bar.weights_gib * 1.2 + 8) * 1024)
        return min(machine.cpu_cores, MAX_CPU_CORES * gpus), min(machine.memory_mib, memory_mib)
    cores: float = max(2, math.ceil(wanted.size.parameters / 1e9))
    if machine.reserves:
        cores = min(cores, max(LEAST_CPU_CORES, machine.cpu_cores * RESERVED_SHARE))
    memory_mib = math.ceil(bar.needed_gib * CPU_HEADROOM * 2) * 512
    return min(machine.cpu_cores, cores, MAX_CPU_CORES), min(machine.memory_mib, memory_mib)


def with_sentences(found: Recommendation, wanted: Wanted) -> Recommendation:
    """The same in words, for people who cannot or would rather not read the bar."""
    bar = found.bar
    known: dict[str, object] = {
        "weights": number(bar.weights_gib, 1),
        "cache": number(bar.kv_cache_gib, 1),
        "runtime": number(bar.runtime_gib, 1),
        "total": number(bar.total_gib, 1),
        "short": number(bar.shortfall_gib, 1),
        "free": number(bar.free_gib, 1),
        "machine": describe(found),
        "engine": _(wanted.recipe.title),
        "gpu": found.machine.gpu_product,
        "factor": in_digits(f"{wanted.recipe.memory.weights_factor:g}"),
    }
    if bar.shortfall_gib:
        parts = _(
            "Weights %(weights)s GiB, key-value cache %(cache)s GiB, runtime %(runtime)s GiB: "
            "%(short)s GiB short of %(total)s GiB on %(machine)s."
        )
    else:
        parts = _(
            "Weights %(weights)s GiB, key-value cache %(cache)s GiB, runtime %(runtime)s GiB: "
            "%(free)s GiB free of %(total)s GiB on %(machine)s."
        )
    sentences = [parts % known]
    if found.fits:
        room, more = room_words(found.most_users, found.context_tokens), ""
        if found.most_context_tokens > found.context_tokens:
            more = room_words(found.users, found.most_context_tokens)
        told = _("Room for %(room)s, or %(more)s.") if more else _("Room for %(room)s.")
        sentences.append(told % {"room": room, "more": more})
    if found.precision is not wanted.precision:
        sentences.append(_("%(gpu)s has no bfloat16: the weights are loaded as fp16.") % known)
    if wanted.recipe.memory.weights_factor > 1:
        sentences.append(_("%(engine)s asks for %(factor)s times the weights.") % known)
    return replace(found, sentences=tuple(sentences))


def room_words(users: int, tokens: int) -> str:
    """So many dialogues of so many tokens."""
    told = ngettext("%(count)s user of %(tokens)s tokens", "%(count)s users of %(tokens)s tokens", users)
    return told % {"count": number(users), "tokens": number(tokens)}


def describe(found: Recommendation) -> str:
    if found.gpu:
        return f"{number(found.gpu)} × {found.machine.gpu_product or 'GPU'}"
    return found.machine.name or _("this machine")


def needed_gpu_gib(wanted: Wanted) -> float:
    """The memory of the one GPU that would hold it."""
    cache = wanted.size.kv_gib_per_token(wanted.precision, 1) * wanted.context_tokens * wanted.users
    return wanted.size.weights_gib(wanted.precision) + cache + wanted.recipe.memory.runtime_gib

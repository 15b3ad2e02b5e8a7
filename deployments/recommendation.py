"""Which machine a model should run on, how much of it, and why it cannot run where it cannot.

``recommend`` always answers with resources, so that a form can be filled in and a document shown; where the
cluster cannot run them, the answer carries the refusal as well (console.md §1: misfits are shown, with the
reason and the shortfall). Pure: nodes come in as ``Capacity``, nothing is asked of a cluster here.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from deployments.catalog import CatalogModel, Precision
from deployments.clusters.base import Capacity, Refusal
from deployments.engines import RECIPES, Recipe, find_recipe
from deployments.engines.chat_llm import GGUF_SLOTS
from deployments.machines import Machine, find_instance_type, load_instance_types, machine_of
from deployments.memory_plan import MemoryBar, ModelSize, plan_memory, size_of, size_of_custom
from deployments.words import choice_words, in_digits, number

#: What is planned for unless the form says otherwise: one dialogue as long as the page's samples need.
DEFAULT_CONTEXT_TOKENS = 4096
DEFAULT_USERS = 1
CPU_HEADROOM = 1.5  # over the arithmetic, because a local instance above its memory is killed
MAX_CPU_CORES = 8


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


def want_model(
    model: CatalogModel,
    acceleration: str,
    precision: Precision | None = None,
    context_tokens: int | None = None,
    users: int | None = None,
) -> Wanted:
    """A model of the catalog. ``acceleration`` must be a recipe's key (KeyError otherwise)."""
    recipe = get_recipe(acceleration)
    published = next((one for one in model.precisions if one in recipe.precisions), model.precisions[0])
    context = model.context_tokens if model.is_bundled else min(model.context_tokens, DEFAULT_CONTEXT_TOKENS)
    return Wanted(
        title=model.name,
        size=size_of(model),
        recipe=recipe,
        precision=precision or published,
        is_precision_chosen=precision is not None,
        context_tokens=context_tokens or context,
        users=users or (GGUF_SLOTS if model.is_bundled else DEFAULT_USERS),
        is_users_chosen=users is not None,
        model=model,
    )


def want_custom(
    acceleration: str,
    parameters_billion: float,
    family: str = "",
    precision: Precision | None = None,
    context_tokens: int | None = None,
    users: int | None = None,
) -> Wanted:
    """A folder of one's own, known by its size. ``acceleration`` must be a recipe's key (KeyError otherwise)."""
    size = size_of_custom(parameters_billion, family)
    known = {"family": family, "billions": in_digits(f"{parameters_billion:g}")}
    if family:
        title = _("%(family)s of %(billions)s billion parameters") % known
    else:
        title = _("A model of %(billions)s billion parameters") % known
    return Wanted(
        title=title,
        size=size,
        recipe=get_recipe(acceleration),
        precision=precision or Precision.BF16,
        is_precision_chosen=precision is not None,
        context_tokens=context_tokens or min(size.context_tokens, DEFAULT_CONTEXT_TOKENS),
        users=users or DEFAULT_USERS,
        is_users_chosen=users is not None,
    )


def get_recipe(acceleration: str) -> Recipe:
    recipe = find_recipe(acceleration)
    if recipe is None:
        raise KeyError(acceleration)
    return recipe


def recommend(wanted: Wanted, nodes: Sequence[Capacity], instance_type: str = "") -> Recommendation:
    """The smallest node that holds ``wanted``, else the smallest instance type that does, with the refusal.

    ``instance_type`` names one to take instead; it must be a known one (KeyError otherwise).
    """
    if instance_type:
        machine = find_instance_type(instance_type)
        if machine is None:
            raise KeyError(instance_type)
        return fit(wanted, machine, refuse_settings(wanted) or refuse_engine(wanted, nodes))
    refusal = refuse(wanted, nodes)
    local = [fit(wanted, machine_of(node), refusal) for node in usable_nodes(wanted, nodes)]
    rented = [] if wanted.is_bundled else [fit(wanted, one, refusal) for one in rentable(wanted)]
    if holding := [one for one in local if one.fits]:
        return min(holding, key=lambda one: (one.bar.total_gib, one.gpu))
    if holding := [one for one in rented if one.fits]:
        return holding[0]  # they come from the smallest up, and are paid for as a whole
    if choice := local + rented:
        return min(choice, key=lambda one: one.bar.shortfall_gib)
    return fit(wanted, Machine("", MAX_CPU_CORES, 16 * 1024), refusal)


def list_options(wanted: Wanted, nodes: Sequence[Capacity]) -> tuple[Recommendation, ...]:
    """Everything the resource picker offers: the nodes, and where instances can be rented their types.

    Misfits are among them, with their shortfall in ``bar``.
    """
    refusal = refuse_settings(wanted) or refuse_engine(wanted, nodes)
    options = [fit(wanted, machine_of(node), refusal) for node in usable_nodes(wanted, nodes)]
    if any(node.downloads for node in nodes) and not wanted.is_bundled:
        options += [fit(wanted, one, refusal) for one in rentable(wanted)]
    return tuple(options)


def why_not(
    model: CatalogModel, acceleration: str, precision: Precision | None, nodes: Sequence[Capacity]
) -> Refusal | None:
    """Why these nodes cannot run a model of the catalog that way, or None where they can."""
    return refuse(want_model(model, acceleration, precision), nodes)


def refuse(wanted: Wanted, nodes: Sequence[Capacity]) -> Refusal | None:
    """The first reason against it: settings, engine, memory, weights."""
    return (
        refuse_settings(wanted)
        or refuse_engine(wanted, nodes)
        or refuse_memory(wanted, nodes)
        or refuse_weights(wanted, nodes)
    )


def refuse_settings(wanted: Wanted) -> Refusal | None:
    """What no machine can change: an engine or a precision that the model does not have."""
    model, recipe = wanted.model, wanted.recipe
    if model is not None and recipe.key not in model.accelerations:
        message = _("%(model)s does not run on %(engine)s.") % {"model": model.name, "engine": recipe.title}
        titles = [one.title for one in RECIPES if one.key in model.accelerations]
        return Refusal("acceleration_unsupported", message, choose(titles))
    if model is not None and wanted.precision not in model.precisions:
        message = _("%(model)s is not published in %(precision)s.")
        message %= {"model": model.name, "precision": wanted.precision}
        return Refusal("precision_unsupported", message, choose(p for p in model.precisions if p in recipe.precisions))
    if wanted.precision not in recipe.precisions:
        message = _("%(engine)s does not load %(precision)s.")
        message %= {"engine": recipe.title, "precision": wanted.precision}
        return Refusal("precision_unsupported", message, choose(p for p in Precision if p in recipe.precisions))
    if wanted.context_tokens > wanted.size.context_tokens and model is not None:
        known = {"model": model.name, "tokens": number(wanted.size.context_tokens)}
        message = _("%(model)s reads at most %(tokens)s tokens.") % known
        return Refusal("context_too_long", message, _("Ask for %(tokens)s or fewer.") % known)
    return None


def refuse_engine(wanted: Wanted, nodes: Sequence[Capacity]) -> Refusal | None:
    """The program is nowhere in this cluster."""
    if not nodes:
        cure = _("Add a node, or correct the cluster's settings.")
        return Refusal("no_machine", _("The cluster has no machine."), cure)
    if any(wanted.recipe.label in node.images for node in nodes):
        return None
    if wanted.recipe.unfit_gpus:  # an engine for certain GPUs, which only a cluster of machines offers
        message = _("%(engine)s runs on Kubernetes with NVIDIA A, H or L GPUs.") % {"engine": wanted.recipe.title}
        return Refusal("engine_missing", message, _("Choose another acceleration, or run Slipway on Kubernetes."))
    told = next((node.absent[wanted.recipe.label] for node in nodes if wanted.recipe.label in node.absent), None)
    if told is not None:
        return told
    if is_many(nodes):
        message = _("%(engine)s is not installed in this cluster.") % {"engine": wanted.recipe.title}
    else:
        message = _("%(engine)s is not installed on this machine.") % {"engine": wanted.recipe.title}
    cure = _("Choose another acceleration, or install it and start Slipway again.")
    return Refusal("engine_missing", message, cure)


def refuse_memory(wanted: Wanted, nodes: Sequence[Capacity]) -> Refusal | None:
    """No node has the memory, with the shortfall of the nearest one."""
    tries = [fit(wanted, machine_of(node), None) for node in usable_nodes(wanted, nodes)]
    if any(one.fits for one in tries):
        return None
    if tries:
        nearest = min(tries, key=lambda one: one.bar.shortfall_gib)
        if nearest.gpu:
            message = _("Needs %(needed)s GiB of GPU memory; %(machine)s has %(total)s GiB, %(short)s GiB short.")
        else:
            message = _("Needs %(needed)s GiB of memory; %(machine)s has %(total)s GiB, %(short)s GiB short.")
        message %= {
            "needed": number(nearest.bar.needed_gib, 1),
            "machine": describe(nearest),
            "total": number(nearest.bar.total_gib, 1),
            "short": number(nearest.bar.shortfall_gib, 1),
        }
        cure = _("Choose a smaller model, a shorter context or a smaller precision, or a larger machine.")
        return Refusal("gpu_memory_short" if nearest.gpu else "memory_short", message, cure)
    products = sorted({node.gpu_product for node in nodes if node.gpus})
    if products:
        message = _("%(engine)s does not run on %(gpus)s.")
        message %= {"engine": wanted.recipe.title, "gpus": choice_words(products)}
        return Refusal("gpu_unfit", message, _("Choose another acceleration, or add NVIDIA A, H or L GPUs."))
    needed = {"needed": number(needed_gpu_gib(wanted), 1)}
    if is_many(nodes):
        message = _("Needs a GPU with %(needed)s GiB free; this cluster has none.") % needed
    else:
        message = _("Needs a GPU with %(needed)s GiB free; this machine has none.") % needed
    return Refusal("gpu_missing", message, _("Choose the bundled model, or a machine with a GPU."))


def needed_gpu_gib(wanted: Wanted) -> float:
    """The memory of the one GPU that would hold it."""
    cache = wanted.size.kv_gib_per_token(wanted.precision, 1) * wanted.context_tokens * wanted.users
    return wanted.size.weights_gib(wanted.precision) + cache + wanted.recipe.memory.runtime_gib


def refuse_weights(wanted: Wanted, nodes: Sequence[Capacity]) -> Refusal | None:
    """The weights are neither here nor can they be fetched."""
    if wanted.model is None or wanted.is_bundled or any(node.downloads for node in nodes):
        return None
    message = _("The weights of %(model)s are not on this machine, which fetches none from a hub.")
    cure = _("Choose the bundled model, or mount a folder with the weights as a custom model.")
    return Refusal("weights_absent", message % {"model": wanted.title}, cure)


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
    return [machine for machine in load_instance_types() if not wanted.recipe.is_unfit(machine.gpu_product)]


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
    cores = max(2, math.ceil(wanted.size.parameters / 1e9))
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
        "engine": wanted.recipe.title,
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


def is_many(nodes: Sequence[Capacity]) -> bool:
    """Whether people would call it a cluster, and not this machine."""
    return any(node.downloads for node in nodes) or len(nodes) > 1


def choose(names: Iterable[str]) -> str:
    """The cure that names what there is instead."""
    found = [str(name) for name in names]
    return _("Choose %(names)s.") % {"names": choice_words(found)} if found else _("Choose another.")

"""Which machine a model should run on, how much of it, and why it cannot run where it cannot.

``recommend`` always answers with resources, so that a form can be filled in and a document shown; where the
cluster cannot run them, the answer carries the refusal as well (console.md §1: misfits are shown, with the
reason and the shortfall). Pure: nodes come in as ``Capacity``, nothing is asked of a cluster here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from django.utils.translation import gettext as _

from deployments.catalog import CatalogModel, Precision
from deployments.clusters.base import Capacity, Refusal
from deployments.engines import RECIPES, Recipe, find_recipe
from deployments.engines.chat_llm import GGUF_SLOTS
from deployments.fitting import (
    MAX_CPU_CORES,
    Recommendation,
    Wanted,
    describe,
    fit,
    needed_gpu_gib,
    rentable,
    usable_nodes,
)
from deployments.machines import Machine, find_instance_type, machine_of
from deployments.memory_plan import size_of, size_of_custom
from deployments.words import choice_words, in_digits, number

#: What is planned for unless the form says otherwise: one dialogue as long as the page's samples need.
DEFAULT_CONTEXT_TOKENS = 4096
DEFAULT_USERS = 1


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
        message = _("%(model)s does not run on %(engine)s.") % {"model": model.name, "engine": _(recipe.title)}
        titles = [_(one.title) for one in RECIPES if one.key in model.accelerations]
        return Refusal("acceleration_unsupported", message, choose(titles))
    if model is not None and wanted.precision not in model.precisions:
        message = _("%(model)s is not published in %(precision)s.")
        message %= {"model": model.name, "precision": wanted.precision}
        return Refusal("precision_unsupported", message, choose(p for p in model.precisions if p in recipe.precisions))
    if wanted.precision not in recipe.precisions:
        message = _("%(engine)s does not load %(precision)s.")
        message %= {"engine": _(recipe.title), "precision": wanted.precision}
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
        message = _("%(engine)s runs on Kubernetes with NVIDIA A, H or L GPUs.") % {"engine": _(wanted.recipe.title)}
        return Refusal("engine_missing", message, _("Choose another acceleration, or run Slipway on Kubernetes."))
    told = next((node.absent[wanted.recipe.label] for node in nodes if wanted.recipe.label in node.absent), None)
    if told is not None:
        return told
    if is_many(nodes):
        message = _("%(engine)s is not installed in this cluster.") % {"engine": _(wanted.recipe.title)}
    else:
        message = _("%(engine)s is not installed on this machine.") % {"engine": _(wanted.recipe.title)}
    cure = _("Choose another acceleration, or install it and start Slipway again.")
    return Refusal("engine_missing", message, cure)


def refuse_memory(wanted: Wanted, nodes: Sequence[Capacity]) -> Refusal | None:
    """No node has the memory, with the shortfall of the nearest one."""
    tries = [fit(wanted, machine_of(node), None) for node in usable_nodes(wanted, nodes)]
    if any(one.fits for one in tries):
        return None
    if tries:
        nearest = min(tries, key=lambda one: one.bar.shortfall_gib)
        if nearest.gpu and not nearest.machine.gpu_memory_gib:
            message = _("Needs %(needed)s GiB of GPU memory, and the nodes do not say how much their GPUs have.")
            cure = _("Label the nodes with nvidia.com/gpu.memory, in MiB, as NVIDIA's GPU feature discovery does.")
            return Refusal("gpu_memory_unknown", message % {"needed": number(nearest.bar.needed_gib, 1)}, cure)
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
        message %= {"engine": _(wanted.recipe.title), "gpus": choice_words(products)}
        return Refusal("gpu_unfit", message, _("Choose another acceleration, or add NVIDIA A, H or L GPUs."))
    needed = {"needed": number(needed_gpu_gib(wanted), 1)}
    if is_many(nodes):
        message = _("Needs a GPU with %(needed)s GiB free; this cluster has none.") % needed
    else:
        message = _("Needs a GPU with %(needed)s GiB free; this machine has none.") % needed
    return Refusal("gpu_missing", message, _("Choose the bundled model, or a machine with a GPU."))


def refuse_weights(wanted: Wanted, nodes: Sequence[Capacity]) -> Refusal | None:
    """The weights are neither here nor can they be fetched."""
    if wanted.model is None or wanted.is_bundled or any(node.downloads for node in nodes):
        return None
    message = _("The weights of %(model)s are not on this machine, which fetches none from a hub.")
    cure = _("Choose the bundled model, or mount a folder with the weights as a custom model.")
    return Refusal("weights_absent", message % {"model": wanted.title}, cure)


def is_many(nodes: Sequence[Capacity]) -> bool:
    """Whether people would call it a cluster, and not this machine."""
    return any(node.downloads for node in nodes) or len(nodes) > 1


def choose(names: Iterable[str]) -> str:
    """The cure that names what there is instead."""
    found = [str(name) for name in names]
    return _("Choose %(names)s.") % {"names": choice_words(found)} if found else _("Choose another.")

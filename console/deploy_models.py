"""The catalog as the LLM form lists it: every model, with whether it runs here or why not. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.utils.translation import gettext as _

from deployments.catalog import CatalogModel, load_catalog
from deployments.clusters.base import Capacity, Refusal
from deployments.engines import RECIPES, Recipe
from deployments.fitting import needed_gpu_gib
from deployments.recommendation import recommend, want_custom, want_model, why_not
from deployments.words import in_digits, number

#: What stands in the way of an acceleration and is no matter of the machine's size.
OF_ENGINE = ("acceleration_unsupported", "engine_missing", "gpu_unfit", "precision_unsupported")


@dataclass(frozen=True, slots=True)
class ModelRow:
    """One line of the model list. ``short`` is what is missing in GiB, "" where memory is not what is missing."""

    model: CatalogModel
    element_id: str
    fits: bool
    short: str
    reason: str
    is_chosen: bool

    @property
    def size(self) -> str:
        billions = self.model.parameters_billion
        return in_digits(f"{billions:.3g} B" if billions >= 1 else f"{billions * 1000:.0f} M")

    @property
    def words(self) -> str:
        """What the search looks through."""
        return f"{self.model.name} {self.model.family} {self.model.hub_id}".lower()


@dataclass(frozen=True, slots=True)
class AccelerationRow:
    """One Inference Acceleration; ``reason`` is "" where the chosen model runs with it here."""

    key: str
    title: str
    hint: str
    reason: str
    is_chosen: bool


def title_of(recipe: Recipe) -> str:
    """The form's words (eas.md §5.1)."""
    titles = {"none": _("Not Accelerated"), "vllm": _("open-source vLLM"), "bladellm": _("PAI-BladeLLM")}
    return titles.get(recipe.key, recipe.title)


def hint_of(recipe: Recipe) -> str:
    hints = {
        "none": _("Runs every model; speaks EAS's dialect, OpenAI and WebSocket itself."),
        "vllm": _("Many dialogues at once on a GPU."),
        "bladellm": _("Alibaba's engine, on Kubernetes."),
    }
    return hints.get(recipe.key, "")


def list_models(nodes: Sequence[Capacity], chosen: str) -> list[ModelRow]:
    """Every model in the catalog's order, the bundled one first. It fits if any acceleration can run it."""
    return [model_row(model, nodes, chosen) for model in load_catalog()]


def model_row(model: CatalogModel, nodes: Sequence[Capacity], chosen: str) -> ModelRow:
    refusals = [why_not(model, key, None, nodes) for key in model.accelerations]
    fits = any(refusal is None for refusal in refusals)
    first = None if fits else next((one for one in refusals if one and one.code not in OF_ENGINE), refusals[0])
    return ModelRow(
        model=model,
        element_id="model-" + model.name.lower().replace(".", "-"),
        fits=fits,
        short=shortfall(model, first, nodes),
        reason=first.message if first else "",
        is_chosen=model.name == chosen,
    )


def shortfall(model: CatalogModel, refusal: Refusal | None, nodes: Sequence[Capacity]) -> str:
    """How much memory is missing here. Where there is no GPU at all, all that the model needs is."""
    if refusal is None:
        return ""
    wanted = want_model(model, "none")
    if refusal.code == "gpu_missing":
        return _("%(gib)s GiB of GPU memory short") % {"gib": number(needed_gpu_gib(wanted), 1)}
    found = recommend(wanted, nodes)
    if refusal.code in ("gpu_memory_short", "memory_short") and found.bar.shortfall_gib:
        return _("%(gib)s GiB short") % {"gib": number(found.bar.shortfall_gib, 1)}
    return ""


def list_accelerations(model: CatalogModel | None, nodes: Sequence[Capacity], chosen: str) -> list[AccelerationRow]:
    """In the form's order, each with the reason against it for this model. None is a model of one's own."""
    return [
        AccelerationRow(recipe.key, title_of(recipe), hint_of(recipe), reason_against(model, recipe, nodes),
                        recipe.key == chosen)
        for recipe in sorted(RECIPES, key=lambda one: ("none", "bladellm", "vllm").index(one.key))
    ]  # fmt: skip


def reason_against(model: CatalogModel | None, recipe: Recipe, nodes: Sequence[Capacity]) -> str:
    """Only what the acceleration itself forbids: that the machine is too small is said beside the model."""
    if model is not None:
        refusal = why_not(model, recipe.key, None, nodes)
    else:
        refusal = recommend(want_custom(recipe.key, 1.0), nodes).refusal
    return f"{refusal.message} {refusal.cure}" if refusal and refusal.code in OF_ENGINE else ""


def families() -> list[str]:
    """The families a custom model can be of, in the catalog's order."""
    return list(dict.fromkeys(model.family for model in load_catalog()))

"""The LLM form's state: what was typed, what the recommendation fills in, what is wrong (console.md §4-§5). No I/O.

A field whose text equals what was last filled in counts as untouched: it is left to the recommendation and
follows the model. Anything else was typed by a person and is kept, whatever model is chosen. What was filled
in travels in hidden fields, so this works without scripts and without state on the server.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from console.field_words import with_label
from deployments.catalog import CatalogModel, find_model, load_catalog
from deployments.clusters.base import Capacity, Refusal
from deployments.fitting import Recommendation
from deployments.llm_form import Refuse, never, preview, recommend_for, refuse_request, suggest_service_name
from deployments.llm_request import CUSTOM, DEFAULT_MOUNT_PATH, OPEN_SOURCE, FormInvalid, LlmRequest
from deployments.spec import FieldError

#: What the recommendation fills in.
FILLED = ("service_name", "cpu", "memory", "gpu", "context_tokens", "users")
LABELS = {
    "service_name": gettext_lazy("Service Name"),
    "model_source": gettext_lazy("Model Source"),
    "model": gettext_lazy("Model Type"),
    "family": gettext_lazy("Model Type"),
    "parameter_quantity": gettext_lazy("Parameter Quantity"),
    "precision": gettext_lazy("Precision"),
    "model_path": gettext_lazy("OSS Path"),
    "mount_path": gettext_lazy("Mount Path"),
    "acceleration": gettext_lazy("Inference Acceleration"),
    "instances": gettext_lazy("Instances"),
    "instance_type": gettext_lazy("Machine"),
    "cpu": gettext_lazy("CPU"),
    "memory": gettext_lazy("Memory"),
    "gpu": gettext_lazy("GPUs"),
    "gpu_product": gettext_lazy("Kind of GPU"),
    "context_tokens": gettext_lazy("Context"),
    "users": gettext_lazy("Users at once"),
    "workspace": gettext_lazy("Workspace"),
}
FIELDS = tuple(LABELS)
OPEN_ONLY, CUSTOM_ONLY = ("model",), ("family", "parameter_quantity", "model_path", "mount_path")


@dataclass(frozen=True, slots=True)
class Typed:
    """The texts of a form as they came, and what had been filled in when they were typed.

    ``before`` holds the model and the fillings of before the last change of the model, so that what a change
    reset stays listed.
    """

    values: Mapping[str, str]
    filled: Mapping[str, str] = field(default_factory=dict)
    filled_for: str = ""  # the model that ``filled`` was for
    before: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, form: Mapping[str, str]) -> Typed:
        """Read posted texts; anything that is no field of the form is not looked at."""
        filled = {name: form.get(f"filled.{name}", "") for name in FILLED}
        before = {name: form[f"before.{name}"] for name in ("model", *FILLED) if f"before.{name}" in form}
        values = {name: form.get(name, "").replace("\0", "").strip() for name in FIELDS}
        return cls(values, filled, form.get("filled_for", ""), before)

    @classmethod
    def start(cls, wishes: Mapping[str, str]) -> Typed:
        """An untouched form; ``wishes`` may choose the model and the like."""
        values = dict.fromkeys(FIELDS, "")
        values |= {"model": load_catalog()[0].name, "instances": "1", "mount_path": DEFAULT_MOUNT_PATH}
        values |= {"model_source": OPEN_SOURCE, "acceleration": "none"}
        return cls(values | {name: text for name, text in wishes.items() if name in FIELDS and text})

    @property
    def touched(self) -> frozenset[str]:
        """What a person wrote. An emptied figure is left to the recommendation; an emptied name is no name."""
        touched = {name for name in FILLED if self.values[name] and self.values[name] != self.filled.get(name, "")}
        is_emptied = bool(self.filled.get("service_name")) and not self.values["service_name"]
        return frozenset(touched | {"service_name"} if is_emptied else touched)

    @property
    def is_custom(self) -> bool:
        return self.values["model_source"] == CUSTOM

    @property
    def model_key(self) -> str:
        """What the fillings depend on."""
        if self.is_custom:
            return f"{self.values['family'] or _('custom model')} {self.values['parameter_quantity']}".strip()
        return self.values["model"]

    @property
    def chosen_model(self) -> CatalogModel | None:
        return None if self.is_custom else find_model(self.values["model"])


@dataclass(frozen=True, slots=True)
class Reset:
    """A field that followed the model, from one value to another."""

    label: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Filled:
    """Everything the page shows of a form. ``request`` is None while the form cannot be deployed."""

    values: Mapping[str, str]
    filled: Mapping[str, str]
    filled_for: str
    before: Mapping[str, str]
    request: LlmRequest | None
    errors: tuple[FieldError, ...]
    found: Recommendation | None = None
    preview: Mapping[str, Any] | None = None
    refusal: Refusal | None = None
    resets: tuple[Reset, ...] = ()
    kept: tuple[str, ...] = ()


def fill_in(
    typed: Typed, nodes: Sequence[Capacity], taken: Collection[str], fixed_name: str = "", refuse: Refuse = never
) -> Filled:
    """Parse what was typed and fill in the rest. ``fixed_name``: of a service that exists and keeps its name.

    ``refuse`` is the cluster's.
    """
    name = fixed_name or suggest_service_name(typed.model_key or "llm_service", taken)
    touched = typed.touched - ({"service_name"} if fixed_name else set())
    chosen = typed.values["service_name"] if "service_name" in touched else name
    form = request_form(typed, touched, chosen)
    request, errors = parse(form)
    shown = request or parse(without(form, errors, name))[0]
    if shown is None:
        # Nothing is known of the model yet: figures for another one must not stand there as recommended.
        blank = {one: "" for one in FILLED if one not in touched}
        before = {"model": typed.filled_for, **typed.filled} if typed.filled_for else typed.before
        return Filled(
            {**typed.values, **blank, "service_name": chosen}, {**blank, "service_name": name}, "", before, None, errors
        )
    plain = recommend_for(replace(shown, context_tokens=None, users=None), nodes)
    filled = {
        "service_name": name,
        "cpu": f"{plain.cpu:g}",
        "memory": str(plain.memory_mb),
        "gpu": str(plain.gpu),
        "context_tokens": str(plain.context_tokens),
        "users": str(plain.users),
    }
    found = recommend_for(shown, nodes)
    if not {"context_tokens", "users"}.isdisjoint(touched):  # a longer context needs more memory
        filled |= {"cpu": f"{found.cpu:g}", "memory": str(found.memory_mb), "gpu": str(found.gpu)}
    values = {**typed.values, **{one: filled[one] for one in FILLED if one not in touched}}
    before = typed.before
    if typed.filled_for and typed.filled_for != typed.model_key:
        before = {"model": typed.filled_for, **typed.filled}
    result = Filled(
        values, filled, typed.model_key, before, request, errors, found, preview(shown, nodes, refuse),
        refuse_request(shown, nodes, refuse),
    )  # fmt: skip
    return with_resets(result, touched)


def with_resets(result: Filled, touched: Collection[str]) -> Filled:
    """Note what a change of the model reset, and what it kept."""
    if not result.before or result.before.get("model") == result.filled_for:
        return result
    resets = tuple(
        Reset(str(LABELS[name]), result.before[name], result.filled[name])
        for name in FILLED
        if name not in touched and result.before.get(name) and result.before[name] != result.filled[name]
    )
    kept = tuple(str(LABELS[name]) for name in FILLED if name in touched)
    return replace(result, resets=resets, kept=kept)


def request_form(typed: Typed, touched: Collection[str], service_name: str) -> dict[str, str]:
    """What ``LlmRequest.parse`` is given: the fields of the chosen source, and of those filled in the touched."""
    left_out = {*(OPEN_ONLY if typed.is_custom else CUSTOM_ONLY), *FILLED}
    form = {name: text for name, text in typed.values.items() if name not in left_out and text}
    form |= {name: typed.values[name] for name in touched}
    if typed.is_custom and typed.values["family"]:
        form["model"] = typed.values["family"]
    return {**form, "service_name": service_name}


def parse(form: Mapping[str, str]) -> tuple[LlmRequest | None, tuple[FieldError, ...]]:
    try:
        return LlmRequest.parse(form), ()
    except FormInvalid as problem:
        return None, problem.errors


def without(form: Mapping[str, str], errors: Sequence[FieldError], name: str) -> dict[str, str]:
    """The form without its wrong fields, to show something while they are being cured."""
    wrong = {error.field for error in errors}
    return {key: text for key, text in form.items() if key not in wrong} | (
        {"service_name": name} if "service_name" in wrong else {}
    )


def field_of(error: FieldError, *, is_custom: bool) -> str:
    """The form's own name of the field an error lies in."""
    if error.field == "model" and is_custom:
        return "family"
    return error.field if error.field in LABELS else ""


def worded(error: FieldError, free_name: str) -> str:
    """The sentence with the field's label instead of its name in REST; ``free_name`` is offered for none."""
    told = with_label(error.message, error.field, str(LABELS.get(error.field, "")))
    if error.code != "name_missing":
        return told
    return f"{told} {_('Use `%(name)s`?') % {'name': free_name}}"


def field_of_refusal(refusal: Refusal, typed: Typed) -> str:
    """Where to say that the cluster cannot run it: at what the person can change."""
    if refusal.code in ("acceleration_unsupported", "engine_missing", "gpu_unfit", "model_layout"):
        return "acceleration"
    if refusal.code in ("precision_unsupported", "context_too_long"):
        return {"precision_unsupported": "precision", "context_too_long": "context_tokens"}[refusal.code]
    if refusal.code == "memory_short" and "memory" in typed.touched:
        return "memory"
    if refusal.code == "gpu_memory_short" and "gpu" in typed.touched:
        return "gpu"
    return "parameter_quantity" if typed.is_custom else "model"


def typed_of(request: LlmRequest, instances: int, nodes: Sequence[Capacity]) -> Typed:
    """The form of a service that exists. Figures that the recommendation would give count as untouched."""
    form = {name: str(value) for name, value in request.as_form().items()}
    values = {name: form.get(name, "") for name in FIELDS} | {"instances": str(instances)}
    if request.model_source == CUSTOM:
        values |= {"model": load_catalog()[0].name, "family": request.family}
        values["parameter_quantity"] = f"{request.parameter_quantity:g}"
    else:
        values["mount_path"] = DEFAULT_MOUNT_PATH
    if request.cpu is not None:
        values["cpu"] = f"{request.cpu:g}"
    found = recommend_for(replace(request, cpu=None, memory=None, gpu=None), nodes)
    filled = {
        "service_name": request.service_name,
        "cpu": f"{found.cpu:g}",
        "memory": str(found.memory_mb),
        "gpu": str(found.gpu),
    }
    typed = Typed(values, filled)
    return replace(typed, filled_for=typed.model_key)

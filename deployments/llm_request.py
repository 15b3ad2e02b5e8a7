"""What the LLM form asks for (eas.md §5.1), parsed from an HTML form or JSON with every error at once.

Whether a cluster can run it is not decided here: that is ``deployments.recommendation``.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from django.utils.translation import gettext as _
from pydantic import ValidationError

from deployments.catalog import CatalogModel, Precision, find_model, load_catalog
from deployments.engines import RECIPES, find_recipe
from deployments.engines.recipe import is_model
from deployments.machines import find_instance_type, load_instance_types
from deployments.spec import FieldError, check_name
from deployments.spec.document import GPU_PRODUCT
from deployments.spec.storage import Oss
from deployments.words import choice_words, list_words, number

OPEN_SOURCE, CUSTOM = "open-source", "custom"
DEFAULT_MOUNT_PATH = "/model_dir"

_QUANTITY = re.compile(r"(\d{1,5}(?:\.\d{1,4})?)\s*[bB]?")
#: Other spellings of a field; the first is what the documentation shows.
ALIASES = {"oss_path": "model_path"}


class FormInvalid(ValueError):
    """A form that cannot be deployed. Carries every error found, each naming its field and the cure."""

    def __init__(self, errors: Iterable[FieldError]) -> None:
        self.errors = tuple(errors)
        super().__init__(" ".join(error.message for error in self.errors))


@dataclass(frozen=True, slots=True)
class LlmRequest:
    """One filled-in LLM form. None and "" leave a choice to the recommendation.

    ``model`` is the catalog's for open-source models; a custom model is known by ``family`` and
    ``parameter_quantity`` (billions). ``memory`` is in MiB. ``context_tokens`` and ``users`` size the memory;
    an engine that can be told its context is told.
    """

    service_name: str
    model_source: str = OPEN_SOURCE
    model: CatalogModel | None = None
    family: str = ""
    parameter_quantity: float = 0.0
    precision: Precision | None = None
    model_path: str = ""
    mount_path: str = DEFAULT_MOUNT_PATH
    acceleration: str = "none"
    instances: int = 1
    instance_type: str = ""
    cpu: float | None = None
    memory: int | None = None
    gpu: int | None = None
    gpu_product: str = ""
    context_tokens: int | None = None
    users: int | None = None
    workspace: str = ""

    @classmethod
    def parse(cls, form: object) -> LlmRequest:
        """Read a form. Numbers may be text, and empty text is a field left out. Raises ``FormInvalid``."""
        if not isinstance(form, Mapping):
            raise FormInvalid([FieldError("", "not_an_object", _("The LLM form must be a JSON object."))])
        reader = _Reader(form)
        name_error = check_name(form.get("service_name"), "service_name")
        if name_error:
            reader.errors.append(name_error)
        source = reader.choice("model_source", (OPEN_SOURCE, CUSTOM), OPEN_SOURCE)
        precision = reader.choice("precision", tuple(str(one) for one in Precision), "")
        model_values = _read_open_model(reader) if source == OPEN_SOURCE else _read_custom_model(reader)
        request = {
            "service_name": str(form.get("service_name", "")),
            "model_source": source,
            "precision": Precision(precision) if precision else None,
            "acceleration": reader.choice("acceleration", tuple(one.key for one in RECIPES), "none"),
            "instances": reader.whole("instances", 0, 1000, 1),
            "cpu": reader.number("cpu", 0, 512),
            "memory": reader.whole("memory", 1, 8_388_608),
            "gpu": reader.whole("gpu", 0, 64),
            "gpu_product": _read_gpu_product(reader),
            "context_tokens": reader.whole("context_tokens", 512, 10_000_000),
            "users": reader.whole("users", 1, 10_000),
            "workspace": reader.text("workspace"),
            "instance_type": _read_instance_type(reader),
            **model_values,
        }
        reader.refuse_unknown_fields()
        _check_together(reader, request)
        if reader.errors:
            raise FormInvalid(reader.errors)
        return cls(**request)

    def as_form(self) -> dict[str, Any]:
        """The form that parses to this request; fields left to the recommendation are left out."""
        form: dict[str, Any] = {
            "service_name": self.service_name,
            "model_source": self.model_source,
            "model": self.model.name if self.model else self.family,
            "acceleration": self.acceleration,
            "instances": self.instances,
        }
        if self.model_source == CUSTOM:
            form |= {"model_path": self.model_path, "mount_path": self.mount_path}
            form["parameter_quantity"] = self.parameter_quantity
        for name in ("instance_type", "cpu", "memory", "gpu", "gpu_product", "context_tokens", "users", "workspace"):
            if (value := getattr(self, name)) not in (None, ""):
                form[name] = value
        if self.precision:
            form["precision"] = str(self.precision)
        return form


FIELDS = tuple(field.name for field in fields(LlmRequest) if field.name != "family")


class _Reader:
    """Takes typed values out of a form and collects what is wrong with them."""

    def __init__(self, form: Mapping[str, Any]) -> None:
        self.errors: list[FieldError] = []
        self._given = dict(form)
        self._values: dict[str, Any] = {}
        for key, value in form.items():
            if value is not None and not (isinstance(value, str) and not value.strip()):
                name = ALIASES.get(key, key)
                if self._values.setdefault(name, value) != value:
                    message = _("%(one)s and %(other)s are one field and differ. Keep one of them.")
                    message %= {"one": key, "other": name}
                    self.errors.append(FieldError(key, "conflict", message))

    def refuse(self, field: str, code: str, message: str) -> None:
        self.errors.append(FieldError(self.as_given(field), code, message))

    def as_given(self, field: str) -> str:
        """The spelling the form used for a field."""
        spellings = [alias for alias, name in ALIASES.items() if name == field and self._given.get(alias)]
        return spellings[0] if spellings and not self._given.get(field) else field

    def has(self, field: str) -> bool:
        return field in self._values

    def text(self, field: str, default: str = "") -> str:
        value = self._values.get(field, default)
        if isinstance(value, str):
            return value.strip()
        message = _("%(field)s must be text; got %(input)s.") % {"field": field, "input": _shorten(value)}
        self.refuse(field, "not_text", message)
        return default

    def choice(self, field: str, choices: tuple[str, ...], default: str) -> str:
        value = self.text(field, default)
        found = next((one for one in choices if one.lower() == value.lower()), None)
        if found is not None or not value:
            return found or default
        message = _("%(field)s must be %(choices)s; got %(input)s.")
        message %= {"field": field, "choices": choice_words(choices), "input": _shorten(value)}
        self.refuse(field, "not_a_choice", message)
        return default

    def number(self, field: str, over: float, most: float) -> float | None:
        """A number above ``over`` and up to ``most``; None where it is left out or wrong."""
        if not self.has(field):
            return None
        value = self._values[field]
        try:
            found = math.nan if isinstance(value, bool) else float(value)
        except (TypeError, ValueError, OverflowError):
            found = math.nan
        if over < found <= most:
            return int(found) if found.is_integer() else found
        message = _("%(field)s must be a number over %(least)s, at most %(most)s; got %(input)s.")
        message %= {"field": field, "least": number(over), "most": number(most), "input": _shorten(value)}
        self.refuse(field, "out_of_range" if math.isfinite(found) else "not_a_number", message)
        return None

    def whole(self, field: str, least: int, most: int, default: int | None = None) -> int | None:
        """A whole number from ``least`` to ``most``; the default where it is left out or wrong."""
        if not self.has(field):
            return default
        value = self._values[field]
        found = None
        is_digits = isinstance(value, str) and re.fullmatch(r"[+-]?[0-9]{1,15}", value.strip())
        if is_digits or (isinstance(value, int | float) and not isinstance(value, bool) and value == value // 1):
            found = int(value)
        if found is not None and least <= found <= most:
            return found
        message = _("%(field)s must be a whole number from %(least)s to %(most)s; got %(input)s.")
        message %= {"field": field, "least": number(least), "most": number(most), "input": _shorten(value)}
        self.refuse(field, "not_a_number" if found is None else "out_of_range", message)
        return default

    def quantity(self, field: str) -> float | None:
        """Billions of parameters: 7, "7", "7B" or "0.5b"; None where it is left out or wrong."""
        if not self.has(field):
            return None
        value = self._values[field]
        match = None if isinstance(value, bool) else _QUANTITY.fullmatch(str(value).strip())
        if match and 0.001 <= float(match[1]) <= 5000:
            return float(match[1])
        message = _("%(field)s must be the billions of parameters, such as 7 or 0.5; got %(input)s.")
        message %= {"field": field, "input": _shorten(value)}
        self.refuse(field, "not_a_quantity", message)
        return None

    def refuse_unknown_fields(self) -> None:
        known = (*FIELDS, *ALIASES)
        for key in self._given:
            if key not in known:
                near = difflib.get_close_matches(str(key).lower(), known, 1)
                if near:
                    message = _("There is no field %(field)s. Did you mean %(near)s?")
                    message %= {"field": _shorten(key), "near": near[0]}
                else:
                    message = _("There is no field %(field)s. The fields are %(fields)s.")
                    message %= {"field": _shorten(key), "fields": list_words(FIELDS)}
                self.errors.append(FieldError(str(key), "unknown_field", message))


def _read_open_model(reader: _Reader) -> dict[str, Any]:
    for field in ("model_path", "mount_path", "parameter_quantity"):
        if reader.has(field):
            message = _("%(field)s belongs to a model of your own. Leave it out, or set model_source to custom.")
            message %= {"field": reader.as_given(field)}
            reader.refuse(field, "not_for_open_source", message)
    name = reader.text("model")
    model = find_model(name) if name else None
    if not reader.has("model"):
        message = _("Choose a model, such as %(model)s, which runs on any machine.")
        message %= {"model": load_catalog()[0].name}
        reader.refuse("model", "model_missing", message)
    elif name and model is None:
        names = {one.name.lower(): one.name for one in load_catalog()}
        near = difflib.get_close_matches(name.lower(), names, 1, 0.5)
        if near:
            message = _("There is no model %(model)s in the catalog. Did you mean %(near)s?")
            message %= {"model": _shorten(name), "near": names[near[0]]}
        else:
            message = _("There is no model %(model)s in the catalog. docs/models.md lists the models.")
            message %= {"model": _shorten(name)}
        reader.refuse("model", "model_unknown", message)
    return {"model": model}


def _read_custom_model(reader: _Reader) -> dict[str, Any]:
    """A folder of one's own: its family (or a catalog model that it was tuned from), size, and where it lies."""
    name = reader.text("model")
    families = {model.family.lower(): model.family for model in load_catalog()}
    base = find_model(name) if name else None
    family = base.family if base else families.get(name.lower(), "")
    if name and not family:
        message = _("There is no model type %(type)s. Use %(types)s, or leave it empty.")
        message %= {"type": _shorten(name), "types": choice_words(list(families.values()))}
        reader.refuse("model", "family_unknown", message)
    quantity = reader.quantity("parameter_quantity")
    if quantity is None and not reader.has("parameter_quantity"):
        if base is not None:
            quantity = base.parameters_billion
        else:
            message = _("parameter_quantity is missing. Give the billions of parameters, such as 7.")
            reader.refuse("parameter_quantity", "quantity_missing", message)
    path = reader.text("model_path")
    if not path:
        message = _("model_path is missing. Give the OSS folder of the model, such as oss://bucket/folder/.")
        reader.refuse("model_path", "model_path_missing", message)
    elif not _is_oss_path(path):
        message = _("%(field)s must look like oss://BUCKET/FOLDER/, without `..`; got %(input)s.")
        message %= {"field": reader.as_given("model_path"), "input": _shorten(path)}
        reader.refuse("model_path", "oss_path", message)
    mount_path = reader.text("mount_path", DEFAULT_MOUNT_PATH)
    if not mount_path.startswith("/") or not is_model(mount_path):
        message = _(
            "mount_path must be an absolute folder of letters, digits and ._- outside the system's, "
            "such as %(example)s; got %(input)s."
        )
        message %= {"example": DEFAULT_MOUNT_PATH, "input": _shorten(mount_path)}
        reader.refuse("mount_path", "mount_path", message)
    return {
        "family": family, "parameter_quantity": quantity or 0.0, "model_path": path,
        "mount_path": mount_path.rstrip("/") or DEFAULT_MOUNT_PATH,
    }  # fmt: skip


def _read_instance_type(reader: _Reader) -> str:
    name = reader.text("instance_type")
    if name and find_instance_type(name) is None:
        names = [machine.name for machine in load_instance_types()]
        near = difflib.get_close_matches(name, names, 1, 0.4)
        if near:
            message = _("Nothing is known of instance type %(type)s. Did you mean %(near)s?")
            message %= {"type": _shorten(name), "near": near[0]}
        else:
            message = _("Nothing is known of instance type %(type)s. Give cpu, memory and gpu instead.")
            message %= {"type": _shorten(name)}
        reader.refuse("instance_type", "instance_type_unknown", message)
    return name


def _read_gpu_product(reader: _Reader) -> str:
    name = reader.text("gpu_product")
    if not re.fullmatch(GPU_PRODUCT, name):
        message = _("gpu_product must be the name of a GPU, such as A10; got %(input)s.")
        reader.refuse("gpu_product", "gpu_product", message % {"input": _shorten(name)})
    return name


def _check_together(reader: _Reader, request: Mapping[str, Any]) -> None:
    """Rules that span fields; skipped for fields that are wrong by themselves."""
    wrong = {error.field for error in reader.errors}
    given = [name for name in ("cpu", "memory", "gpu") if reader.has(name)]
    if request["instance_type"] and given:
        message = _("instance_type already says how much. Leave out %(fields)s, or the instance type.")
        message %= {"fields": list_words(given)}
        reader.refuse(given[0], "conflict", message)
    recipe = find_recipe(request["acceleration"])
    model, precision = request.get("model"), request["precision"]
    if recipe is None or wrong & {"acceleration", "model"}:
        return
    if model is not None and recipe.key not in model.accelerations:
        titles = [f"{one.title} ({one.key})" for one in RECIPES if one.key in model.accelerations]
        message = _("%(model)s does not run on %(engine)s. Choose %(engines)s.")
        message %= {"model": model.name, "engine": recipe.title, "engines": choice_words(titles)}
        reader.refuse("acceleration", "acceleration_unsupported", message)
        return
    loadable = [str(one) for one in (model.precisions if model else Precision) if one in recipe.precisions]
    if precision is not None and "precision" not in wrong and precision not in loadable:
        known = {"model": model.name if model else "", "precision": precision, "precisions": choice_words(loadable)}
        if model:
            message = _("%(model)s cannot be loaded in %(precision)s. Choose %(precisions)s.") % known
        else:
            message = _("This engine cannot load a model in %(precision)s. Choose %(precisions)s.") % known
        reader.refuse("precision", "precision_unsupported", message)
    context = request["context_tokens"]
    if model is not None and context is not None and context > model.context_tokens:
        message = _("%(model)s reads at most %(tokens)s tokens. Ask for that or fewer.")
        message %= {"model": model.name, "tokens": number(model.context_tokens)}
        reader.refuse("context_tokens", "context_too_long", message)


def _is_oss_path(path: str) -> bool:
    try:
        Oss(path=path)
    except ValidationError:
        return False
    return True


def _shorten(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"

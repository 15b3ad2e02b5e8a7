"""The model catalog: facts about models, read from ``catalog.yaml`` and checked when it is loaded.

A fact here is one a model's own card or configuration states (parameters, layers, heads, context, licence).
What they add up to (memory, machines) is ``deployments.recommendation``; how a model is started is
``deployments.engines``. Nothing here opens the network, imports Django or reads weights.

The first model is the one a form should start with: it is bundled and runs on any machine.
"""

from __future__ import annotations

import enum
import functools
import importlib.util
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import yaml

CATALOG_PATH = Path(__file__).with_name("catalog.yaml")

SIZES = (
    "layers", "hidden_size", "attention_heads", "kv_heads", "head_dim", "intermediate_size", "vocabulary",
    "context_tokens",
)  # fmt: skip
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


class CatalogInvalid(ValueError):
    """``catalog.yaml`` states something that cannot be true; the text names the model and the field."""


class Precision(enum.StrEnum):
    """How weights are stored. Quantised kinds keep the embedding tables at 16 bits."""

    FP32 = "fp32"
    FP16 = "fp16"
    BF16 = "bf16"
    FP8 = "fp8"
    INT8 = "int8"
    INT4 = "int4"


#: Kinds a hub publishes as copies of their own; the others an engine makes while it loads.
QUANTISED = {Precision.INT8, Precision.INT4}


@dataclass(frozen=True, slots=True)
class GgufFile:
    """Weights that come inside an installed Python package, so that no download is needed."""

    package: str
    filename: str
    size_bytes: int
    sha256: str

    def find_path(self) -> Path | None:
        """Where the file lies, or None where its package is not installed. Never imports the package."""
        spec = importlib.util.find_spec(self.package)
        if spec is None or spec.origin is None:
            return None
        path = Path(spec.origin).with_name(self.filename)
        return path if path.is_file() else None

    def path(self) -> Path:
        """Where the file lies. Raises FileNotFoundError with the cure where it is not installed."""
        path = self.find_path()
        if path is None:
            raise FileNotFoundError(
                f"The bundled model file {self.filename} is not here: the Python package {self.package} is "
                "not installed. Run `make run`, or install requirements-model.lock."
            )
        return path


@dataclass(frozen=True, slots=True)
class CatalogModel:
    """One model. Counts are those of its published configuration; ``parameters_billion`` counts all of them.

    ``precisions`` begins with the one its weights are published in. ``kv_elements_per_token`` is what one
    token adds to the key-value cache of the whole model, in numbers (not bytes).
    """

    name: str
    hub_id: str
    family: str
    parameters_billion: float
    layers: int
    hidden_size: int
    attention_heads: int
    kv_heads: int
    head_dim: int
    intermediate_size: int
    vocabulary: int
    tied_embeddings: bool
    context_tokens: int
    precisions: tuple[Precision, ...]
    accelerations: tuple[str, ...]
    licence: str
    languages: tuple[str, ...]
    #: Numbers per token and layer where the cache is not two vectors per key-value head (latent attention).
    kv_elements_per_layer: int = 0
    #: Matrices in a feed-forward block: three where it is gated, two in the classic form.
    mlp_matrices: int = 3
    #: Sizes do not follow from the fields above: experts, or a vision tower beside the language model.
    irregular: bool = False
    #: The hub asks for an accepted licence and an access token.
    gated: bool = False
    #: Its repository holds Python code of its own that the engine has to run.
    remote_code: bool = False
    #: Hub ids of published quantised copies, by precision.
    quantised: Mapping[str, str] = field(default_factory=dict)
    default_system_prompt: str = ""
    gguf: GgufFile | None = None

    @property
    def is_bundled(self) -> bool:
        """Its weights come with Slipway, so it runs on any machine without a hub."""
        return self.gguf is not None

    @property
    def kv_elements_per_token(self) -> int:
        return self.layers * (self.kv_elements_per_layer or 2 * self.kv_heads * self.head_dim)

    def hub_id_for(self, precision: Precision) -> str:
        """The repository that holds the weights in that precision."""
        return self.quantised.get(precision, self.hub_id)

    @property
    def embedding_parameters(self) -> int:
        """Parameters of the token tables, which quantisation leaves at 16 bits."""
        return self.vocabulary * self.hidden_size * (1 if self.tied_embeddings else 2)


@functools.cache
def load_catalog() -> tuple[CatalogModel, ...]:
    """Every model in the order of the form. Raises CatalogInvalid; cached for the life of the process."""
    return parse_catalog(CATALOG_PATH.read_text(encoding="utf-8"))


def find_model(name: str) -> CatalogModel | None:
    """The model of that catalog name or hub id, whatever its case; None where there is none."""
    return _by_name().get(name.strip().lower())


def find_repository(hub_id: str) -> CatalogModel | None:
    """The model whose weights, in any precision, a hub repository holds; exact case, as hubs take it."""
    return _by_repository().get(hub_id)


@functools.cache
def _by_repository() -> dict[str, CatalogModel]:
    return {hub_id: model for model in load_catalog() for hub_id in (model.hub_id, *model.quantised.values())}


@functools.cache
def _by_name() -> dict[str, CatalogModel]:
    by_hub_id = {model.hub_id.lower(): model for model in load_catalog()}
    return by_hub_id | {model.name.lower(): model for model in load_catalog()}


def parse_catalog(text: str) -> tuple[CatalogModel, ...]:
    """Read a catalog document: a list of models. Raises CatalogInvalid for the first thing wrong."""
    # The C parser is ten times quicker, and this runs in the start of every instance; not every build has it.
    loader: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    entries = yaml.load(text, Loader=loader)  # noqa: S506 - both are safe loaders
    if not isinstance(entries, list):
        raise CatalogInvalid("The catalog must be a list of models.")
    models = tuple(_parse_model(entry) for entry in entries)
    names = [model.name.lower() for model in models]
    for name in names:
        if names.count(name) > 1:
            raise CatalogInvalid(f"The catalog names {name} twice.")
    return models


def _parse_model(entry: object) -> CatalogModel:
    if not isinstance(entry, Mapping) or not isinstance(entry.get("name"), str):
        raise CatalogInvalid(f"A catalog entry has no name: {entry!r}.")
    values: dict[str, Any] = dict(entry)
    name = values["name"]
    known = {known_field.name for known_field in fields(CatalogModel)}
    if unknown := sorted(set(values) - known):
        raise CatalogInvalid(f"{name}: unknown field {unknown[0]}.")
    try:
        values["precisions"] = tuple(Precision(value) for value in values.get("precisions", ()))
        values["accelerations"] = tuple(values.get("accelerations", ()))
        values["languages"] = tuple(values.get("languages", ()))
        if "gguf" in values:
            values["gguf"] = GgufFile(**values["gguf"])
        model = CatalogModel(**values)
    except (TypeError, ValueError) as error:
        raise CatalogInvalid(f"{name}: {error}.") from error
    _check(model)
    return model


def _check(model: CatalogModel) -> None:
    """Refuse what no model can be. Parameter counts are compared with the architecture by a test."""
    for name in SIZES:
        if not isinstance(size := getattr(model, name), int) or size < 1:
            raise CatalogInvalid(f"{model.name}: {name} cannot be {size!r}.")
    problems = {
        "name": not _NAME.fullmatch(model.name),
        "hub_id": model.hub_id.count("/") != 1,
        "parameters_billion": not 0 < model.parameters_billion < 5000,
        "attention_heads": model.attention_heads < model.kv_heads,
        "context_tokens": not 512 <= model.context_tokens <= 10_000_000,
        "precisions": not model.precisions or len(set(model.precisions)) != len(model.precisions),
        # That each is an engine's key is checked where the engines are known, in deployments/engines.
        "accelerations": "none" not in model.accelerations,
        "quantised": model.gguf is None and set(model.quantised) != set(model.precisions) & QUANTISED,
        "languages": not model.languages,
        "licence": not model.licence,
        "mlp_matrices": model.mlp_matrices not in (2, 3),
    }
    for name, wrong in problems.items():
        if wrong:
            raise CatalogInvalid(f"{model.name}: {name} cannot be {getattr(model, name)!r}.")

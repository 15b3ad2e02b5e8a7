"""What an engine recipe is: the facts and the one function that turn a model into a container.

A recipe knows its program's command line and nothing about forms, machines' prices or clusters.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from deployments.catalog import Precision, find_model, find_repository
from deployments.spec.storage import SYSTEM_FOLDERS

#: Values a recipe may give to a flag, as whole patterns; anything else was not written by a recipe.
NUMBER = r"[0-9]{1,9}"
WORD = r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}"
MODEL = "model"  # a catalog name, a hub id of the catalog, or an absolute folder
BARE = ""  # a flag without a value
WRITABLE = "writable"  # a folder that the document mounts to be written to, or one below it

_FOLDER = re.compile(r"(/[A-Za-z0-9._-]+)+/?")


@dataclass(frozen=True, slots=True)
class Launch:
    """One model to be started. ``precision`` None leaves the choice to the engine."""

    model: str
    served_name: str
    port: int
    gpus: int = 0
    precision: Precision | None = None
    context_tokens: int | None = None
    users: int | None = None  # dialogues at once
    remote_code: bool = False
    #: The processor only: no GPU is given to the instance.
    on_cpu: bool = False
    #: Planned for keys and values, where the engine has to be told because it would take the machine's.
    cache_mib: int | None = None
    #: The weights are small and here already, so the first check need not wait for a download.
    is_quick: bool = False


@dataclass(frozen=True, slots=True)
class EngineMemory:
    """What an engine takes of a GPU besides weights and key-value cache.

    ``runtime_gib`` is for each GPU: CUDA context, activations, graphs. ``reserved_share`` of the card is left
    unused. ``weights_factor`` is the engine's own rule of thumb, a lower bound on the memory as a multiple of
    the weights. Each recipe says where its numbers come from.
    """

    runtime_gib: float
    #: The same without a GPU, on the machine's own memory.
    cpu_runtime_gib: float = 0.0
    reserved_share: float = 0.0
    weights_factor: float = 1.0


@dataclass(frozen=True, slots=True)
class Recipe:
    """How one engine is started. All speak OpenAI over HTTP; chat-llm speaks EAS's dialect as well."""

    key: str  # the form's value
    title: str  # the form's words, eas.md §5.1
    label: str  # labels.ServiceEngineType, and the name in Capacity.images
    image: str
    program: tuple[str, ...]  # as rendered
    other_programs: tuple[tuple[str, ...], ...]  # as recognised too
    flags: Mapping[str, str]  # what a recipe command may carry, by name; the value is a pattern
    arguments: Callable[[Launch], tuple[str, ...]]
    default_port: int
    health_path: str  # "" where the engine documents none: an open port stands for it
    precisions: frozenset[Precision]
    memory: EngineMemory
    #: Its weights are cut into equal parts by attention heads, so the number of GPUs must divide them.
    splits_heads: bool
    unfit_gpus: tuple[str, ...] = ()  # GPU products it does not run on

    def is_unfit(self, gpu_product: str) -> bool:
        """Whether the engine is documented not to run on that GPU, named as drivers name it."""
        return is_one_of(gpu_product, self.unfit_gpus)

    @property
    def programs(self) -> tuple[tuple[str, ...], ...]:
        return (self.program, *self.other_programs)

    @property
    def bare_flags(self) -> frozenset[str]:
        return frozenset(name for name, pattern in self.flags.items() if pattern == BARE)

    def render(self, launch: Launch) -> dict[str, Any]:
        """The container of a service document (eas.md §3.4) that runs ``launch``."""
        return {
            "image": self.image,
            "script": " ".join((*self.program, *self.arguments(launch))),
            "port": launch.port,
            **self._checks(launch),
        }

    def _checks(self, launch: Launch) -> dict[str, Any]:
        """The checks of eas.md §3.4's LLM recipe; a bundled model is asked sooner and as long in total."""
        alive = (
            {"http_get": {"path": self.health_path, "port": launch.port}}
            if self.health_path
            else {"tcp_socket": {"port": launch.port}}
        )
        delay, period = (0, 2) if launch.is_quick else (60, 10)
        return {
            "startup_check": {
                **alive,
                "initial_delay_seconds": delay,
                "period_seconds": period,
                "timeout_seconds": 5,
                "failure_threshold": 300 // period,
            },
            "liveness_check": {
                **alive,
                "initial_delay_seconds": delay,
                "period_seconds": 30,
                "timeout_seconds": 10,
                "failure_threshold": 3,
            },
            "health_check": {
                "http_get": {"path": "/v1/models", "port": launch.port},
                "initial_delay_seconds": delay,
                "period_seconds": 10,
                "timeout_seconds": 5,
                "failure_threshold": 3,
            },
        }


def is_one_of(gpu_product: str, models: Iterable[str]) -> bool:
    """Whether a product's name holds one of ``models`` as a word: T4 in ``Tesla T4``, not in ``GT400``."""
    return any(re.search(rf"(?<![A-Za-z0-9]){model}(?![A-Za-z0-9])", gpu_product) for model in models)


def is_flag_value(pattern: str, value: str, writable: Iterable[str] = ()) -> bool:
    """Whether a recipe could have given ``value`` to a flag of that pattern, where ``writable`` is mounted."""
    if pattern == MODEL:
        return is_model(value)
    if pattern == WRITABLE:
        return is_plain_folder(value) and any(f"{value}/".startswith(f"{folder}/") for folder in writable)
    return re.fullmatch(pattern, value) is not None


def is_model(value: str) -> bool:
    """A model a recipe may name: one of the catalog, or a mounted folder outside the system's own."""
    if find_model(value) is not None or find_repository(value) is not None:
        return True
    if not is_plain_folder(value):
        return False
    return not any(value == folder or value.startswith(folder + "/") for folder in SYSTEM_FOLDERS)


def is_plain_folder(value: str) -> bool:
    """Whether it is an absolute path that leads nowhere but down."""
    return _FOLDER.fullmatch(value) is not None and not any(part in (".", "..") for part in value.split("/"))

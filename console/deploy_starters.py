"""Starter documents of the custom form (console.md §5): small, whole, and said whether they can run here."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy

from deployments.catalog import load_catalog
from deployments.clusters.base import Capacity, Cluster
from deployments.llm_form import LlmRequest, render_document, suggest_service_name
from deployments.spec import ServiceSpec

SERVER = "python3 -m http.server $PORT"
#: A stand-in that shows what has to be written there.
EXAMPLE_FOLDER = "oss://my-bucket/models/my-model/"


@dataclass(frozen=True, slots=True)
class Starter:
    """One document to begin with. ``build`` gives it for a name and what the cluster has."""

    key: str
    title: Promise
    about: Promise
    stem: str
    build: Callable[[str, Sequence[Capacity]], dict[str, Any]]

    def document(self, taken: Collection[str], nodes: Sequence[Capacity]) -> dict[str, Any]:
        """The document under a free name."""
        return self.build(suggest_service_name(self.stem, taken), nodes)


@dataclass(frozen=True, slots=True)
class Offer:
    """A starter as the page shows it. ``why_not`` is why this cluster cannot run it, "" where it can."""

    key: str
    title: Promise
    about: Promise
    why_not: str


def program(name: str, _nodes: Sequence[Capacity]) -> dict[str, Any]:
    """A program with no dependencies that answers."""
    return {
        "metadata": {"name": name, "instance": 1, "cpu": 1, "memory": 512},
        "containers": [{"image": "python:3.11", "script": SERVER, "port": 8000, "env": []}],
    }


def checked_program(name: str, _nodes: Sequence[Capacity]) -> dict[str, Any]:
    """Everything that a program in earnest needs: a variable, checks, a folder, a rolling update without a gap."""
    probe = {"http_get": {"path": "/", "port": 8000}, "period_seconds": 5}
    container = {
        "image": "python:3.11",
        "script": 'cd "$DATA_FOLDER"\n' + f"exec {SERVER}",
        "port": 8000,
        "env": [{"name": "DATA_FOLDER", "value": "/scratch"}],
        "startup_check": {**probe, "initial_delay_seconds": 1, "failure_threshold": 30},
        "health_check": {**probe, "initial_delay_seconds": 0, "failure_threshold": 3},
    }
    rolling = {"max_surge": 1, "max_unavailable": 0}
    return {
        "metadata": {"name": name, "instance": 2, "cpu": 1, "memory": 512, "rolling_strategy": rolling},
        "containers": [container],
        "storage": [{"mount_path": "/scratch", "empty_dir": {}}],
    }


def bundled(name: str, nodes: Sequence[Capacity]) -> dict[str, Any]:
    model = next(one for one in load_catalog() if one.is_bundled)
    return llm(nodes, service_name=name, model=model.name)


def folder(acceleration: str, **resources: Any) -> Callable[[str, Sequence[Capacity]], dict[str, Any]]:
    """A Hugging Face folder of the object store on an engine."""

    def build(name: str, nodes: Sequence[Capacity]) -> dict[str, Any]:
        asked = {"service_name": name, "model_source": "custom", "model_path": EXAMPLE_FOLDER, **resources}
        return llm(nodes, acceleration=acceleration, model="Qwen2", parameter_quantity="7", **asked)

    return build


def llm(nodes: Sequence[Capacity], **asked: Any) -> dict[str, Any]:
    return render_document(LlmRequest.parse(asked), nodes)


STARTERS = (
    Starter(
        "program",
        gettext_lazy("Program with a port"),
        gettext_lazy("Any program that answers HTTP: an image, a command, a port."),
        "custom",
        program,
    ),
    Starter(
        "checked",
        gettext_lazy("Program with checks"),
        gettext_lazy("Two instances with a variable, a folder, checks and updates without a gap."),
        "checked",
        checked_program,
    ),
    Starter(
        "bundled",
        gettext_lazy("Bundled model"),
        gettext_lazy("SmolLM2 on the chat-llm runtime, as the LLM form writes it."),
        "smollm2",
        bundled,
    ),
    Starter(
        "folder",
        gettext_lazy("Model folder on a processor"),
        gettext_lazy("A Hugging Face folder from OSS on the chat-llm runtime, without a GPU."),
        "chat",
        folder("none", gpu=0),
    ),
    Starter(
        "vllm",
        gettext_lazy("vLLM with an OSS mount"),
        gettext_lazy("A Hugging Face folder from OSS on vLLM and one GPU."),
        "vllm",
        folder("vllm", gpu=1),
    ),
    Starter(
        "bladellm",
        gettext_lazy("BladeLLM with an OSS mount"),
        gettext_lazy("A Hugging Face folder from OSS on BladeLLM and one GPU."),
        "bladellm",
        folder("bladellm", gpu=1),
    ),
)


def find_starter(key: str) -> Starter | None:
    return next((one for one in STARTERS if one.key == key), None)


def list_offers(cluster: Cluster) -> list[Offer]:
    """The starters in their order, each with what this cluster says to it."""
    nodes = cluster.capacity()
    found = []
    for one in STARTERS:
        refusal = cluster.refuse(ServiceSpec.parse(one.document((), nodes)))
        found.append(Offer(one.key, one.title, one.about, refusal.message if refusal else ""))
    return found

"""From the LLM form to a service document, and back (design.md, "One document").

The document is catalog + engine recipe + memory plan. The way back serves "Update Service" and "Convert to
Custom Deployment": it finds the form that renders to a document, and lists what that form could not hold.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

from django.utils.translation import gettext as _

from deployments.catalog import CatalogModel, Precision, find_model, find_repository, load_catalog
from deployments.clusters.base import Capacity, Refusal
from deployments.differences import leaves
from deployments.engines import EngineCommand, Launch, read_command
from deployments.engines.commands import container_words
from deployments.fitting import Recommendation, Wanted
from deployments.llm_request import CUSTOM, DEFAULT_MOUNT_PATH, FIELDS, OPEN_SOURCE, FormInvalid, LlmRequest
from deployments.machines import find_instance_type, node_products
from deployments.recommendation import recommend, want_custom, want_model
from deployments.spec import ENGINE_LABEL, ServiceSpec, suggest_name
from deployments.words import number

__all__ = [
    "FIELDS", "FormInvalid", "LlmRequest", "Refuse", "llm_request_of", "never", "preview", "recommend_for",
    "refuse_request",
    "render_document", "suggest_service_name", "wanted_of",
]  # fmt: skip

#: What a custom model is cannot be read from its command, so the document keeps the form's two answers.
FAMILY_LABEL = "slipway.model-type"
QUANTITY_LABEL = "slipway.parameter-quantity"
_GUESSED_QUANTITY = 7.0

#: ``Cluster.refuse``, or nothing where there is no cluster to ask.
Refuse: TypeAlias = Callable[[ServiceSpec], Refusal | None]


def never(spec: ServiceSpec) -> None:
    """The cluster that refuses nothing."""


def wanted_of(request: LlmRequest) -> Wanted:
    """What the recommendation is asked for."""
    choices = (request.precision, request.context_tokens, request.users)
    if request.model is not None:
        return want_model(request.model, request.acceleration, *choices)
    return want_custom(request.acceleration, request.parameter_quantity, request.family, *choices)


def recommend_for(request: LlmRequest, nodes: Sequence[Capacity]) -> Recommendation:
    """The resources that fill the form in, before the operator's own figures."""
    return recommend(wanted_of(request), nodes_of(request, nodes), request.instance_type)


def nodes_of(request: LlmRequest, nodes: Sequence[Capacity]) -> Sequence[Capacity]:
    """Those with the GPU that the form asks for; all where it asks for none, or for one that no node names."""
    names = {request.gpu_product, *node_products(request.gpu_product)} if request.gpu_product else set()
    return [node for node in nodes if node.gpu_product in names] or nodes


def refuse_request(request: LlmRequest, nodes: Sequence[Capacity], refuse: Refuse = never) -> Refusal | None:
    """Why these nodes cannot run the request, its own figures included, or None where they can.

    ``refuse`` is the cluster's own word on the document, which knows more than its nodes: what a folder holds.
    """
    found = recommend_for(request, nodes)
    if found.refusal is not None:
        return found.refusal
    if not found.gpu and request.memory is not None and request.memory < found.bar.needed_gib * 1024:
        message = _("Needs %(needed)s GiB of memory; memory is set to %(given)s GiB.")
        message %= {"needed": number(found.bar.needed_gib, 1), "given": number(request.memory / 1024, 1)}
        cure = _("Set memory to %(memory)s or leave it empty.") % {"memory": found.memory_mb}
        return Refusal("memory_short", message, cure)
    if request.gpu is not None and request.gpu < found.gpu:
        message = _("Needs %(count)s × %(gpu)s; gpu is set to %(given)s.")
        product = found.machine.gpu_product or "GPU"
        message %= {"count": number(found.gpu), "gpu": product, "given": number(request.gpu)}
        return Refusal("gpu_memory_short", message, _("Set gpu to %(gpu)s or leave it empty.") % {"gpu": found.gpu})
    return refuse(ServiceSpec.parse(_render(request, found)))


def render_document(request: LlmRequest, nodes: Sequence[Capacity]) -> dict[str, Any]:
    """The EAS service document (eas.md §3) of a form. Always valid for ``ServiceSpec.parse``.

    A misfit is rendered too, so that it can be shown; ``refuse_request`` tells whether it can run.
    """
    return _render(request, recommend_for(request, nodes))


def _render(request: LlmRequest, found: Recommendation) -> dict[str, Any]:
    recipe = wanted_of(request).recipe
    gpus = found.gpu if request.gpu is None else request.gpu
    metadata: dict[str, Any] = {
        "name": request.service_name,
        "instance": request.instances,
        "cpu": plain_number(found.cpu if request.cpu is None else request.cpu),
        "memory": found.memory_mb if request.memory is None else request.memory,
        "gpu": gpus,
    }
    if request.gpu_product and gpus:
        metadata["gpu_product"] = request.gpu_product
    if request.workspace:
        metadata["workspace_id"] = request.workspace
    document: dict[str, Any] = {
        "metadata": metadata,
        "labels": {ENGINE_LABEL: recipe.label},
        "containers": [recipe.render(_launch_of(request, found, gpus))],
    }
    if request.instance_type:
        document["cloud"] = {"computing": {"instances": [{"type": request.instance_type}]}}
    if request.model_source == CUSTOM:
        mount = {"mount_path": request.mount_path, "oss": {"path": request.model_path, "readOnly": True}}
        document["storage"] = [mount]
        document["labels"][QUANTITY_LABEL] = f"{request.parameter_quantity:g}"
        if request.family:
            document["labels"][FAMILY_LABEL] = request.family
    return document


def plain_number(value: float) -> float:
    """Two cores are written 2, as people do, and not 2.0."""
    return int(value) if value == int(value) else value


def preview(request: LlmRequest, nodes: Sequence[Capacity], refuse: Refuse = never) -> dict[str, Any]:
    """What ``POST /api/v2/llm-services?dry_run=true`` answers: nothing is created."""
    document = render_document(request, nodes)
    resources = recommend_for(request, nodes).as_dict()
    resources |= {name: document["metadata"][name] for name in ("cpu", "memory", "gpu")}
    if refusal := refuse_request(request, nodes, refuse):
        resources["fits"] = False
        resources["refusal"] = {"code": refusal.code, "message": refusal.message, "cure": refusal.cure}
    return {"document": document, "command": document["containers"][0]["script"], "resources": resources}


def suggest_service_name(model_name: str, taken: Collection[str]) -> str:
    """A free service name for a model, to prefill the form with."""
    stem = (suggest_name(model_name) or "llm_service")[:56]
    count = 1
    while (name := stem if count == 1 else f"{stem}_{count}") in taken:
        count += 1
    return name


def _launch_of(request: LlmRequest, found: Recommendation, gpus: int) -> Launch:
    wanted = wanted_of(request)
    recipe, model = wanted.recipe, request.model
    chosen = request.precision
    if chosen is None and found.precision is not wanted.precision:
        chosen = found.precision  # the GPU lacks the published one
    if model is None:
        source = request.mount_path
        family = [one for one in load_catalog() if one.family == request.family]
        remote_code = any(one.remote_code for one in family)
    else:
        source = model.name if model.is_bundled else model.hub_id_for(chosen or wanted.precision)
        remote_code = model.remote_code
    on_cpu = gpus == 0 and not wanted.is_bundled
    cache_gib = wanted.size.kv_gib_per_token(found.precision, 0) * found.context_tokens * found.users
    return Launch(
        model=source,
        served_name=model.name if model else request.service_name,
        port=recipe.default_port,
        gpus=gpus,
        precision=chosen,
        # llama.cpp takes all of its context at the start, so a folder's own length is not left to chance.
        context_tokens=found.context_tokens if on_cpu else request.context_tokens,
        users=found.users if on_cpu else request.users,
        remote_code=remote_code,
        on_cpu=on_cpu,
        cache_mib=math.ceil(cache_gib * 1024) if on_cpu else None,
        is_quick=wanted.is_bundled,
    )


def llm_request_of(document: Mapping[str, Any]) -> tuple[LlmRequest | None, list[str]]:
    """The form of a document, and the paths in it that the form cannot hold.

    None where the first container starts no known engine or a model the form does not know; ``lost`` then
    names what stood in the way.
    """
    containers = document.get("containers") or [{}]
    command = read_command(containers[0])
    if command is None:
        return None, ["containers[0].script" if "script" in containers[0] else "containers[0].command"]
    source = _model_of(command, document)
    if source is None:
        return None, ["containers[0].script"]
    metadata = document.get("metadata", {})
    request = LlmRequest(
        service_name=str(metadata.get("name", "")),
        acceleration=command.recipe.key,
        instances=metadata.get("instance", 1),
        instance_type=_instance_type_of(document),
        cpu=metadata.get("cpu"),
        memory=metadata.get("memory"),
        gpu=metadata.get("gpu", 0),
        gpu_product=str(metadata.get("gpu_product") or ""),
        context_tokens=_whole(command.arguments.find("max-model-len") or command.arguments.find("context")),
        users=_whole(command.arguments.find("slots") or command.arguments.find("max-num-seqs")),
        workspace=str(metadata.get("workspace_id") or ""),
        **source,
    )
    # Whichever GPU is recommended without a cluster, it must not add a precision to the command.
    rendered = _render(request, replace(recommend_for(request, ()), precision=wanted_of(request).precision))
    again = dict(leaves(rendered))
    lost = [path for path, value in leaves(document) if path not in again or again[path] != value]
    if _says_the_same(containers[0], rendered["containers"][0]):
        lost = [path for path in lost if path not in ("containers[0].script", "containers[0].command")]
    if request.model_source == CUSTOM and QUANTITY_LABEL not in document.get("labels", {}):
        lost.append("parameter_quantity")
    return request, lost


def _model_of(command: EngineCommand, document: Mapping[str, Any]) -> dict[str, Any] | None:
    """The form's answers about the model; None where it is neither in the catalog nor a mounted OSS folder."""
    precision = _precision_of(command)
    named = command.model
    if named is None:
        return None
    if not named.startswith("/"):
        model: CatalogModel | None = find_model(named) or find_repository(named)
        if model is None:
            return None
        copies = [Precision(kind) for kind, hub_id in model.quantised.items() if hub_id == named]
        return {"model_source": OPEN_SOURCE, "model": model, "precision": copies[0] if copies else precision}
    for mount in document.get("storage", []):
        if mount.get("mount_path", "").rstrip("/") == named.rstrip("/") and "oss" in mount:
            labels = document.get("labels", {})
            return {
                "model_source": CUSTOM,
                "family": str(labels.get(FAMILY_LABEL, "")),
                "parameter_quantity": _quantity_of(labels.get(QUANTITY_LABEL)),
                "precision": precision,
                "model_path": mount["oss"]["path"],
                "mount_path": named.rstrip("/") or DEFAULT_MOUNT_PATH,
            }
    return None


def _precision_of(command: EngineCommand) -> Precision | None:
    """The precision that flags ask for; None where the engine chooses."""
    if command.arguments.find("quantization") == "fp8":
        return Precision.FP8
    word = command.arguments.find("precision") or command.arguments.find("dtype") or ""
    return _PRECISIONS.get(word)


_PRECISIONS = {
    "fp32": Precision.FP32, "float32": Precision.FP32, "float": Precision.FP32,
    "fp16": Precision.FP16, "float16": Precision.FP16, "half": Precision.FP16,
    "bf16": Precision.BF16, "bfloat16": Precision.BF16,
}  # fmt: skip


def _instance_type_of(document: Mapping[str, Any]) -> str:
    """The instance type a document asks for, where it asks for exactly one (eas.md §3.3)."""
    types = document.get("cloud", {}).get("computing", {}).get("instances", [])
    return str(types[0].get("type", "")) if len(types) == 1 and find_instance_type(types[0].get("type", "")) else ""


def _quantity_of(label: object) -> float:
    """Billions of parameters by the document's label; a guess where it has none, reported as lost."""
    try:
        return float(str(label))
    except ValueError:
        return _GUESSED_QUANTITY


def _whole(text: str | None) -> int | None:
    return int(text) if text is not None and re.fullmatch(r"[0-9]{1,9}", text) else None


def _says_the_same(given: Mapping[str, Any], rendered: Mapping[str, Any]) -> bool:
    """Whether two containers start one program with the same flags, however these are spelled and ordered."""
    if len(container_words(given)) != 1:
        return False
    one, other = read_command(given), read_command(rendered)
    if one is None or other is None or one.program != other.program or one.model != other.model:
        return False
    ignored = ("model", "model-path")
    flags = [sorted(pair for pair in command.arguments.flags if pair[0] not in ignored) for command in (one, other)]
    return flags[0] == flags[1]

"""The JSON schema of the service document, and the fields of a document that Slipway keeps without acting on them.

One source: the models of ``deployments.spec.document``. What EAS has besides (eas.md §3) is named here, so that an
editor can complete it and say that it does nothing on this Slipway.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass
from functools import cache
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from pydantic import BaseModel

from deployments.spec import gateway_policy
from deployments.spec.autoscaling import METRICS
from deployments.spec.document import ServiceDocument
from deployments.spec.messages import find_field, inner_model
from deployments.spec.spec import ENGINE_LABEL, LLM_ENGINES

#: EAS's fields that are kept as they come and change nothing here, by their path with ``[]`` for an entry of a list.
KEPT = {
    "cloud.networking": gettext_lazy("EAS's networks"),
    "cloud.computing.disable_spot_protection_period": gettext_lazy("EAS's bids for machines"),
    "cloud.computing.instances[].spot_price_limit": gettext_lazy("EAS's bids for machines"),
    "cloud.computing.instances[].capacity": gettext_lazy("how many instances may be on one type of machine"),
    "networking": gettext_lazy("EAS's gateways; gateway_policy works here"),
    "autoscaler.behavior.onZero": gettext_lazy("starting from no instance"),
    "features": gettext_lazy("EAS's switches"),
    "unit": gettext_lazy("machines of one distributed instance"),
    "unit.size": gettext_lazy("machines of one distributed instance"),
    "aimaster": gettext_lazy("compute checks of distributed services"),
    "sinker": gettext_lazy("where EAS stores requests and responses"),
    "confidential": gettext_lazy("EAS's confidential computing"),
    "model_path": gettext_lazy("the model of a processor"),
    "oss_endpoint": gettext_lazy("the model of a processor"),
    "model_entry": gettext_lazy("the model of a processor"),
    "model_config": gettext_lazy("the model of a processor"),
    "processor": gettext_lazy("EAS's built-in programs; here a container is needed"),
    "processor_path": gettext_lazy("a processor of one's own; here a container is needed"),
    "processor_entry": gettext_lazy("a processor of one's own; here a container is needed"),
    "processor_mainclass": gettext_lazy("a processor of one's own; here a container is needed"),
    "processor_type": gettext_lazy("a processor of one's own; here a container is needed"),
    "warm_up_data_path": gettext_lazy("a file of warm-up requests"),
    "generate_token": gettext_lazy("a token is always made where none is given"),
    "role_arn": gettext_lazy("an Alibaba Cloud role"),
    "eas": gettext_lazy("EAS's own notes"),
    "options": gettext_lazy("EAS's own notes"),
    "metadata.resource": gettext_lazy("EAS's resource groups"),
    "metadata.quota_id": gettext_lazy("EAS's resource quotas"),
    "metadata.cuda": gettext_lazy("a CUDA version that EAS mounts"),
    "metadata.rdma": gettext_lazy("EAS's Lingjun network"),
    "metadata.enable_grpc": gettext_lazy("gRPC at EAS's gateway"),
    "metadata.enable_webservice": gettext_lazy("EAS's web applications"),
    "metadata.type": gettext_lazy("EAS's kinds of services"),
    "metadata.region": gettext_lazy("an Alibaba Cloud region"),
    "metadata.workload_type": gettext_lazy("EAS's elastic jobs"),
    "metadata.resource_burstable": gettext_lazy("EAS's elastic pool"),
    "metadata.resource_rebalancing": gettext_lazy("EAS's elastic pool"),
    "metadata.rpc.io_threads": gettext_lazy("threads of a built-in processor"),
    "metadata.rpc.batching": gettext_lazy("batches of a built-in processor"),
    "metadata.rpc.max_batch_size": gettext_lazy("batches of a built-in processor"),
    "metadata.rpc.max_batch_timeout": gettext_lazy("batches of a built-in processor"),
    "metadata.rpc.enable_sigterm": gettext_lazy("here SIGTERM comes once traffic has moved away"),
    "storage[].properties": gettext_lazy("notes of EAS's console"),
    "storage[].nfs.resourceGroup": gettext_lazy("EAS's resource groups"),
}
#: Fields that work on Kubernetes and are kept elsewhere. The LLM form reads ``cloud.computing`` everywhere.
ON_KUBERNETES = {
    "dockerAuth": gettext_lazy("the password of a private image registry"),
    "autoscaler": gettext_lazy("rules for the number of instances"),
    "metadata.gpu_memory": gettext_lazy("a part of a GPU"),
    "metadata.gpu_core_percentage": gettext_lazy("a part of a GPU"),
    "metadata.gpu_product": gettext_lazy("the kind of GPU"),
    "metadata.qos": gettext_lazy("EAS's sharing of processors"),
    "metadata.shm_size": gettext_lazy("shared memory of an EAS instance"),
    "metadata.disk": gettext_lazy("EAS's system disk"),
    "metadata.scheduling": gettext_lazy("EAS's spreading over hosts and zones"),
}
#: Keys beside the models' fields that work: the name's old place and EAS's aliases (``canonicalise``), one policy.
_TAKEN = {"name", "eas.termination_grace_period", "rpc"}
#: Objects of EAS of which one part works.
_PARTLY = {"networking": "gateway_policy"}
#: Objects whose keys are the operator's own, or a source's.
_OPEN = {"labels", "storage[].dataset"}
#: Values that are known beyond the models' types.
VALUES = {f"labels.{ENGINE_LABEL}": LLM_ENGINES, "storage[].empty_dir.medium": ("memory",)}
#: Bounds of annotated types, which pydantic leaves in its own words.
_KEYWORDS = {"ge": "minimum", "le": "maximum", "gt": "exclusiveMinimum", "lt": "exclusiveMaximum"}


@dataclass(frozen=True, slots=True)
class PassedOver:
    """A field of a document that changes nothing here. ``meant`` is the known field it looks like, "" for none."""

    path: str
    is_known: bool
    meant: str

    @property
    def message(self) -> str:
        told = {"path": self.path, "meant": self.meant}
        if self.is_known:
            return _("%(path)s is kept, and does nothing on this Slipway.") % told
        if self.meant:
            return _("%(path)s is no field that Slipway knows. Did you mean %(meant)s?") % told
        return _("%(path)s is no field that Slipway knows. It is kept, and does nothing.") % told


def passed_over(document: Mapping[str, Any], *, on_kubernetes: bool = False) -> list[PassedOver]:
    """The fields that Slipway keeps and does not act on, in the document's order."""
    kept = set(KEPT) if on_kubernetes else {*KEPT, *ON_KUBERNETES}
    return list(_passed_over(document, ServiceDocument, kept))


def _passed_over(
    place: Mapping[str, Any], model: type[BaseModel], kept: Set[str], path: str = "", shape: str = ""
) -> Iterator[PassedOver]:
    for key, value in place.items():
        here, kind = f"{path}.{key}".lstrip("."), f"{shape}.{key}".lstrip(".")
        field = find_field(model, key)
        if kind in kept:
            yield PassedOver(here, True, "")
        elif field is None:
            if kind in _PARTLY and isinstance(value, Mapping):
                yield from (PassedOver(f"{here}.{one}", True, "") for one in value if one != _PARTLY[kind])
            elif kind not in _TAKEN:
                yield PassedOver(here, False, nearest(key, model))
        elif kind == "autoscaler.strategies" and isinstance(value, Mapping):
            yield from (PassedOver(f"{here}.{one}", True, "") for one in value if one not in METRICS)
        elif (inner := inner_model(field.annotation)) is not None and kind not in _OPEN:
            if isinstance(value, Mapping):
                yield from _passed_over(value, inner, kept, here, kind)
            for index, entry in enumerate(value if isinstance(value, list) else []):
                if isinstance(entry, Mapping):
                    yield from _passed_over(entry, inner, kept, f"{here}[{index}]", f"{kind}[]")
        elif kind == "autoscaler.scaleStrategies[].metricName" and value not in METRICS:
            yield PassedOver(here, True, "")


def nearest(key: str, model: type[BaseModel]) -> str:
    known = [spelled(name, model) for name in model.model_fields]
    plain = {re.sub(r"[^a-z]", "", one.lower()): one for one in known}
    found = difflib.get_close_matches(re.sub(r"[^a-z]", "", key.lower()), plain, n=1, cutoff=0.75)
    return plain[found[0]] if found else ""


def spelled(name: str, model: type[BaseModel]) -> str:
    """A field's name as a document has it."""
    return model.model_fields[name].alias or name


def document_schema(*, on_kubernetes: bool = False) -> dict[str, Any]:
    """The JSON schema of a service document, without references, with a sentence for each field."""
    schema = _inlined(_raw_schema()["definition"], _raw_schema()["parts"], "")
    schema["description"] = _("a service document")
    properties: dict[str, Any] = schema["properties"]
    properties["metadata"]["properties"]["name"]["description"] = _("3 to 63 characters of a-z, 0-9 and _")
    for path, about in (KEPT if on_kubernetes else KEPT | ON_KUBERNETES).items():
        place = properties
        *around, last = path.replace("[]", "").split(".")
        for step in around:
            node = place[step]
            place = node.get("items", node).setdefault("properties", {})
        told = _("%(about)s. Kept; does nothing here.") % {"about": str(about)}
        place.setdefault(last, {}).update(description=told, deprecated=True)
    properties["networking"] |= {"type": "object", "properties": {"gateway_policy": gateway_policy.SCHEMA}}
    labels = properties["labels"].setdefault("properties", {})
    labels[ENGINE_LABEL] = {"type": "string", "enum": list(LLM_ENGINES), "description": _("the engine of an LLM")}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


@cache
def _raw_schema() -> dict[str, Any]:
    raw = ServiceDocument.model_json_schema(by_alias=True)
    return {"parts": raw.pop("$defs"), "definition": raw}


def _inlined(node: Mapping[str, Any], parts: Mapping[str, Any], path: str) -> dict[str, Any]:
    """A part of the schema with what it refers to in its place, null and titles left out, descriptions translated."""
    if "$ref" in node:
        rest = {key: value for key, value in node.items() if key != "$ref"}
        name = node["$ref"].rsplit("/", 1)[-1]
        return _inlined({**parts[name], "description": "", **rest}, parts, path)
    choices = [one for one in node.get("anyOf", []) if one.get("type") != "null"]
    if len(choices) == 1:
        merged = {key: value for key, value in node.items() if key != "anyOf"} | dict(choices[0])
        return _inlined({**merged, "description": node.get("description", "")}, parts, path)
    left_out = ("title", "default", "properties", "items")
    found = {_KEYWORDS.get(key, key): value for key, value in node.items() if key not in left_out}
    if isinstance(node.get("default"), str | int | float | bool) and node["default"] != "":
        found["default"] = node["default"]
    if description := node.get("description"):
        found["description"] = _(description)
    else:
        found.pop("description", None)
    if "properties" in node:
        found["properties"] = {
            key: _inlined(value, parts, f"{path}.{key}".lstrip(".")) for key, value in node["properties"].items()
        }
    if "items" in node:
        found["items"] = _inlined(node["items"], parts, f"{path}[]")
    if path in VALUES:
        found["enum"] = list(VALUES[path])
    return found

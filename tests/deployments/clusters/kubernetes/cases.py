"""Services whose manifests are kept whole in ``golden/``: one for each engine, kind of storage and kind of option."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from deployments.catalog import Precision
from deployments.clusters.base import Workload
from deployments.clusters.kubernetes.rendering import ClusterFacts
from deployments.clusters.kubernetes.settings import KubernetesSettings
from deployments.engines import Launch, find_recipe
from deployments.spec import ServiceSpec

Document = dict[str, Any]
UID = "eas-m-a1b2c3d4e5f6"
SETTINGS = KubernetesSettings(namespace="services", installation="slipway")
FACTS = ClusterFacts(token="a-service-token")


@dataclass(frozen=True)
class Case:
    """One service, and how it is rendered."""

    document: Document
    settings: KubernetesSettings = SETTINGS
    facts: ClusterFacts = FACTS
    workload: Mapping[str, Any] = field(default_factory=dict)

    def build(self, namespace: str = "") -> tuple[Workload, KubernetesSettings, ClusterFacts]:
        spec = ServiceSpec.parse(self.document)
        wanted: dict[str, Any] = {
            "service_uid": UID, "service_name": spec.name, "revision": 3, "spec": spec,
            "instances": spec.instances, "restart_token": "1",
        } | dict(self.workload)  # fmt: skip
        settings = replace(self.settings, namespace=namespace) if namespace else self.settings
        return Workload(**wanted), settings, self.facts


def llm(acceleration: str, model: str, metadata: Document | None = None, **launch: Any) -> Document:
    """What the LLM form writes."""
    recipe = find_recipe(acceleration)
    assert recipe is not None
    return {
        "metadata": {"name": "chat_llm", "instance": 2, "cpu": 8, "memory": 32768, **(metadata or {})},
        "labels": {"ServiceEngineType": recipe.label},
        "containers": [recipe.render(Launch(model, "chat_llm", recipe.default_port, **launch))],
    }


BUNDLED = llm(
    "none", "SmolLM2-135M-Instruct", {"instance": 1, "cpu": 1.5, "memory": 2048}, context_tokens=2048, users=2,
    is_quick=True,
)  # fmt: skip

CASES: Mapping[str, Case] = {
    "chat-llm-bundled": Case(BUNDLED),
    "chat-llm-gpu": Case(llm("none", "Qwen/Qwen2-7B-Instruct", {"gpu": 1}, gpus=1, precision=Precision.BF16)),
    "vllm-tensor-parallel": Case(
        llm("vllm", "Qwen/Qwen2-7B-Instruct", {"gpu": 2, "memory": 65536}, gpus=2, precision=Precision.FP16)
    ),
    "bladellm": Case(llm("bladellm", "/model_dir", {"gpu": 2}, gpus=2, precision=Precision.BF16)),
}

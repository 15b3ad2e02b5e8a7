"""Services whose manifests are kept whole in ``golden/``: one for each engine, kind of storage and kind of option."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from deployments.catalog import Precision
from deployments.clusters.base import Workload
from deployments.clusters.kubernetes.rendering import ClusterFacts
from deployments.clusters.kubernetes.rendering.facts import SHARED_GPUS
from deployments.clusters.kubernetes.settings import KubernetesSettings, Toleration
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


def plain(container: Document | None = None, metadata: Document | None = None, **parts: Any) -> Document:
    """A program of one's own, in an image of which nothing is known."""
    first = {"image": "registry.example.com/team/tools:1.2", "script": "exec python3 -m http.server $PORT"}
    return {
        "metadata": {"name": "own_tool", "instance": 1, "cpu": 1, "memory": 1024, **(metadata or {})},
        "containers": [{**first, **(container or {})}],
        **parts,
    }


def stored(source: Document, settings: KubernetesSettings = SETTINGS, facts: ClusterFacts = FACTS) -> Case:
    """The bundled engine with a folder of one's own."""
    document = llm("none", "/model_dir", {"instance": 1, "cpu": 2, "memory": 8192})
    return Case(document | {"storage": [{"mount_path": "/model_dir/", **source}]}, settings, facts)


OSS = {"oss": {"path": "oss://my-bucket/models/qwen/", "endpoint": "oss-cn-shanghai-internal.aliyuncs.com"}}
OSS_READ_ONLY = {"oss": {**OSS["oss"], "readOnly": True}}
WITH_DRIVER = replace(FACTS, has_oss_driver=True)
WITH_KEYS = replace(SETTINGS, oss_secret="oss-keys")
S3 = replace(SETTINGS, oss_endpoint="http://minio.storage:9000", oss_secret="oss-keys")
GIT = {"repo": "https://git.example.com/team/model.git", "branch": "main", "commit": "0123abc"}

EVERYTHING = plain(
    {
        "script": None,
        "command": "python3 -m server --name '$(HOSTNAME)'",
        "args": ["--cost=$$5"],
        "port": 9000,
        "env": [{"name": "MODE", "value": "$(date)"}, {"name": "HF_TOKEN", "value": "hf_secret"}],
        "prepare": {
            "pythonRequirements": ["flask==3.1.0", "gunicorn"],
            "pythonRequirementsPath": "/srv/requirements.txt",
        },
        "startup_check": {"exec": {"command": ["test", "-e", "/ready"]}, "failure_threshold": 5},
        "liveness_check": {"tcp_socket": {}, "success_threshold": 3},
        "health_check": {"http_get": {"path": "/up", "port": 9001, "scheme": "https"}, "success_threshold": 2},
    },
    {
        "instance": 3,
        "cpu": 0.25,
        "qos": "BestEffort",
        "shm_size": 0.5,
        "disk": "30Gi",
        "gpu": 1,
        "gpu_product": "A10",
        "scheduling": {"spread": {"policy": "zone"}},
        "rolling_strategy": {"max_surge": "50%", "max_unavailable": 1},
        "rpc": {"keepalive": 60000, "max_queue_size": 8},
        "eas.termination_grace_period": 120,
    },
    storage=[
        {"mount_path": "/scratch", "empty_dir": {}},
        {"mount_path": "/memory", "empty_dir": {"medium": "memory", "size_limit": 2}},
    ],
    dockerAuth="dXNlcjpwYXNz",
    autoscaler={"min": 2, "max": 5, "strategies": {"memory": 80, "qps": 10}},
)
del EVERYTHING["containers"][0]["script"]
EVERYTHING["containers"].append(
    {"image": "registry.example.com/team/side:1", "script": "for x in 1; do\nsleep 1\ndone", "port": 9100,
     "env": [{"name": "API_KEY", "value": "side-secret"}],
     "health_check": {"http_get": {"path": "/", "port": 9100}}}
)  # fmt: skip

CASES: Mapping[str, Case] = {
    "chat-llm-bundled": Case(BUNDLED),
    "chat-llm-gpu": Case(llm("none", "Qwen/Qwen2-7B-Instruct", {"gpu": 1}, gpus=1, precision=Precision.BF16)),
    "vllm-tensor-parallel": Case(
        llm("vllm", "Qwen/Qwen2-72B-Instruct", {"gpu": 4, "memory": 262144}, gpus=4, precision=Precision.FP16)
    ),
    "bladellm": Case(
        llm("bladellm", "/model_dir", {"gpu": 2}, gpus=2, precision=Precision.BF16)
        | {"storage": [{"mount_path": "/model_dir", **OSS_READ_ONLY}]},
        replace(WITH_KEYS, images={**SETTINGS.images, "chat-llm-webui:3.0-blade": "registry.example.com/blade:3"}),
        WITH_DRIVER,
    ),
    "storage-oss-driver": stored(OSS, WITH_KEYS, WITH_DRIVER),
    "storage-oss-copied": stored({"oss": {"path": "oss://my-bucket/models/qwen/"}}, S3),
    "storage-oss-copied-to-claim": stored(OSS, replace(WITH_KEYS, oss_claim="models"), FACTS),
    "storage-nfs": stored({"nfs": {"server": "nas.example.com", "path": "/models/qwen", "readOnly": True}}),
    "storage-git": stored({"git": GIT}),
    "storage-git-private": stored({"git": {**GIT, "username": "robot", "password": "a-git-password"}}),
    "storage-empty": stored({"empty_dir": {}}),
    "everything": Case(
        EVERYTHING,
        replace(
            SETTINGS,
            image_pull_secrets=("registry-login",),
            non_root=True,
            node_selector=(("pool", "inference"),),
            tolerations=(Toleration("dedicated", "inference", "NoSchedule"),),
            pod_access="proxy",
        ),
        replace(FACTS, replace=True, scaled_to=4),
    ),
    "instance-types": Case(
        llm("vllm", "Qwen/Qwen2-7B-Instruct", {"cpu": 8, "memory": 30720}, gpus=1)
        | {
            "cloud": {"computing": {"instances": [{"type": "ecs.gn7i-c8g1.2xlarge"}, {"type": "ml.gu7i.c8m30.1-gu30"}]}}
        },
        replace(SETTINGS, instance_type_label="node.kubernetes.io/instance-type", pod_access="node"),
    ),
    "shared-gpu": Case(
        plain(metadata={"gpu": 0, "gpu_memory": 6, "gpu_core_percentage": 30}),
        facts=replace(FACTS, shared_gpu=SHARED_GPUS[0]),
    ),
    "crash-block": Case(plain(runtime={"enable_crash_block": True})),
    "stopped": Case(BUNDLED, workload={"instances": 0}),
}

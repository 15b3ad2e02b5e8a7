"""The settings of the Kubernetes cluster, and the value they make together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from console.kubeconfig import find_problem
from console.setting_values import (
    Setting,
    parse_count,
    parse_image,
    parse_images,
    parse_label_key,
    parse_label_name,
    parse_names,
    parse_node_selector,
    parse_object_name,
    parse_oss_endpoint,
    parse_oss_mount,
    parse_pod_access,
    parse_switch,
    parse_tolerations,
)
from deployments.clusters.kubernetes.settings import OWN_IMAGES, KubernetesSettings

KUBERNETES_SETTINGS: tuple[Setting, ...] = (
    Setting(
        "KUBECONFIG",
        "`~/.kube/config`; in a pod its service account",
        "With `kubernetes`: the file that says how to reach the cluster.",
        str,
    ),
    Setting("SLIPWAY_KUBE_CONTEXT", "the file's current one", "With `kubernetes`: the context of that file.", str),
    Setting("SLIPWAY_NAMESPACE", "slipway", "With `kubernetes`: the namespace for services.", parse_label_name),
    Setting(
        "SLIPWAY_INSTALLATION",
        "slipway",
        "With `kubernetes`: what this Slipway marks its objects with. Two Slipways that share a namespace need two.",
        parse_label_name,
    ),
    Setting(
        "SLIPWAY_POD_ACCESS",
        "`pod` inside the cluster, else `proxy`",
        "With `kubernetes`: how requests reach a pod: `pod` (its address), `proxy` (through the API server) or `node` "
        "(its node's address and a node port).",
        parse_pod_access,
    ),
    Setting(
        "SLIPWAY_IMAGES",
        "`chat-llm-webui=kube.local/chat-llm:dev`, `vllm=vllm/vllm-openai:v0.14.0`",
        "With `kubernetes`: images that stand for those that documents name, `NAME=IMAGE` with commas between.",
        parse_images,
    ),
    Setting(
        "SLIPWAY_IMAGE_PULL_SECRETS",
        "none",
        "With `kubernetes`: names of Secrets in the namespace that hold registries' passwords, with commas between.",
        parse_names,
    ),
    Setting(
        "SLIPWAY_TOOLS_IMAGE",
        "kube.local/slipway:dev",
        "With `kubernetes`: Slipway's own image, which copies and clones what instances mount.",
        parse_image,
    ),
    Setting(
        "SLIPWAY_NON_ROOT",
        "off",
        "With `kubernetes`: `on` lets no image run as root. Otherwise only Slipway's own are known not to need it.",
        parse_switch,
    ),
    Setting(
        "SLIPWAY_OSS_MOUNT",
        "auto",
        "With `kubernetes`: how folders of an object store get into pods: `csi` (OSS's driver mounts them), `copy` "
        "(copied from any S3 endpoint before the start, read-only) or `auto` (by the driver where the cluster has it).",
        parse_oss_mount,
    ),
    Setting(
        "SLIPWAY_OSS_ENDPOINT",
        "none",
        "With `kubernetes`: the object store of documents that name no endpoint, such as "
        "`https://s3.oss-cn-hangzhou-internal.aliyuncs.com`.",
        parse_oss_endpoint,
    ),
    Setting(
        "SLIPWAY_OSS_SECRET",
        "none",
        "With `kubernetes`: a Secret in the namespace with the keys `akId` and `akSecret`, for the object store.",
        parse_object_name,
    ),
    Setting(
        "SLIPWAY_OSS_CLAIM",
        "none",
        "With `kubernetes`: a PersistentVolumeClaim in the namespace, which many nodes can write, that keeps what is "
        "copied. Unset: each instance copies for itself.",
        parse_object_name,
    ),
    Setting(
        "SLIPWAY_NODE_SELECTOR",
        "none",
        "With `kubernetes`: labels of the nodes for instances, `LABEL=VALUE` with commas between.",
        parse_node_selector,
    ),
    Setting(
        "SLIPWAY_TOLERATIONS",
        "none",
        "With `kubernetes`: taints that instances tolerate, `KEY[=VALUE][:EFFECT]` with commas between. Instances with "
        "a GPU tolerate `nvidia.com/gpu` in any case.",
        parse_tolerations,
    ),
    Setting(
        "SLIPWAY_INSTANCE_TYPE_LABEL",
        "none",
        "With `kubernetes`: the node label whose value is the instance type, such as "
        "`node.kubernetes.io/instance-type`. Unset: an instance type says how much an instance needs, and not where.",
        parse_label_key,
    ),
    Setting(
        "SLIPWAY_GPU_PRODUCT_LABEL",
        "nvidia.com/gpu.product",
        "With `kubernetes`: the node label whose value is the kind of GPU.",
        parse_label_key,
    ),
    Setting(
        "SLIPWAY_GATEWAY_NAMESPACE",
        "slipway",
        "With `kubernetes` and pod access `pod`: the namespace of Slipway's own pods, which alone may reach instances.",
        parse_label_name,
    ),
    Setting(
        "SLIPWAY_LOG_STREAMS",
        "100",
        "With `kubernetes`: how many instances' logs are followed as they are written, unready and newest ones first. "
        "The others are kept once they end, and followed while somebody looks at them.",
        parse_count,
    ),
    Setting(
        "SLIPWAY_KUBE_REQUESTS_A_SECOND",
        "100",
        "With `kubernetes`: how many requests go from one process to the API server in a second on average, and twice "
        "as many at once. Fewer spare a small control plane; the API server shares itself out fairly in any case.",
        parse_count,
    ),
)

#: Settings that go into ``KubernetesSettings`` as they are, whose defaults stand there.
KUBERNETES_FIELDS = {
    "SLIPWAY_TOOLS_IMAGE": "tools_image",
    "SLIPWAY_NON_ROOT": "non_root",
    "SLIPWAY_OSS_MOUNT": "oss_mount",
    "SLIPWAY_OSS_ENDPOINT": "oss_endpoint",
    "SLIPWAY_OSS_SECRET": "oss_secret",
    "SLIPWAY_OSS_CLAIM": "oss_claim",
    "SLIPWAY_NODE_SELECTOR": "node_selector",
    "SLIPWAY_TOLERATIONS": "tolerations",
    "SLIPWAY_INSTANCE_TYPE_LABEL": "instance_type_label",
    "SLIPWAY_GPU_PRODUCT_LABEL": "gpu_product_label",
    "SLIPWAY_GATEWAY_NAMESPACE": "gateway_namespace",
    "SLIPWAY_LOG_STREAMS": "log_streams",
    "SLIPWAY_KUBE_REQUESTS_A_SECOND": "requests_a_second",
}


def connection_problem(values: Mapping[str, Any], variables: Mapping[str, str]) -> str | None:
    """Why no cluster can be reached with these settings, known before one is asked; None where one may answer."""
    if values.get("SLIPWAY_CLUSTER") != "kubernetes" or is_in_cluster(values, variables):
        return None
    return find_problem(values.get("KUBECONFIG", ""), values.get("SLIPWAY_KUBE_CONTEXT", ""))


def is_in_cluster(values: Mapping[str, Any], variables: Mapping[str, str]) -> bool:
    """Whether a pod's service account is used: where nobody named a file."""
    return "KUBERNETES_SERVICE_HOST" in variables and "KUBECONFIG" not in values


def kubernetes_settings(values: Mapping[str, Any], variables: Mapping[str, str]) -> KubernetesSettings:
    return KubernetesSettings(
        namespace=values.get("SLIPWAY_NAMESPACE", "slipway"),
        installation=values.get("SLIPWAY_INSTALLATION", "slipway"),
        kubeconfig=values.get("KUBECONFIG", ""),
        context=values.get("SLIPWAY_KUBE_CONTEXT", ""),
        pod_access=values.get("SLIPWAY_POD_ACCESS", "pod" if is_in_cluster(values, variables) else "proxy"),
        images={**OWN_IMAGES, **values.get("SLIPWAY_IMAGES", {})},
        image_pull_secrets=values.get("SLIPWAY_IMAGE_PULL_SECRETS", ()),
        **{field: values[name] for name, field in KUBERNETES_FIELDS.items() if name in values},
    )

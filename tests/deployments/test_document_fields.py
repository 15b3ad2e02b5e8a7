"""Fields of a document that Kubernetes acts on: what is taken, what is refused, and what an editor says of them."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from deployments.spec import ServiceSpec, SpecInvalid
from deployments.spec.schema import document_schema, passed_over

Document = dict[str, Any]
LOGIN = base64.b64encode(b"user:pass").decode()


def document(metadata: Document | None = None, **parts: Any) -> Document:
    container = {"image": "tools:1", "script": "exec sleep 1"}
    return {"metadata": {"name": "tiny", **(metadata or {})}, "containers": [container], **parts}


def mounted(source: Document, mount_path: str = "/m") -> Document:
    return document(storage=[{"mount_path": mount_path, **source}])


def errors_of(wrong: Document) -> dict[str, str]:
    with pytest.raises(SpecInvalid) as caught:
        ServiceSpec.parse(wrong)
    for error in caught.value.errors:
        assert error.message
    return {error.field: error.code for error in caught.value.errors}


@pytest.mark.parametrize(
    "right",
    [
        document({"gpu": 0, "gpu_memory": 10, "gpu_core_percentage": 5}),  # as in EAS's own sample
        document({"qos": "BestEffort", "shm_size": 64, "gpu_product": "NVIDIA-A100-SXM4-80GB"}),
        document({"disk": "30Gi"}),
        document({"qos": "", "scheduling": {"spread": {"policy": "zone"}}}),
        document(autoscaler={"min": 2, "max": 5, "strategies": {"qps": 10}}),
        document(autoscaler={"min": 1, "max": 10, "scaleStrategies": [{"metricName": "qps", "threshold": 100}]}),
        document(autoscaler={"behavior": {"scaleDown": {"stabilizationWindowSeconds": 300}, "onZero": {}}}),
        document(cloud={"computing": {"instances": [{"type": "dedicated_resource", "capacity": "20%"}]}}),
        document(cloud={"computing": {"instance_type": "ml.gu7i.c16m60.1-gu30"}}),
        document(dockerAuth=LOGIN),
        mounted({"nfs": {"server": "fd00::1", "path": "/", "readOnly": True, "resourceGroup": "x"}}),
        mounted({"git": {"repo": "https://git.example.com:8443/a/b.git", "branch": "feature/x", "commit": "ABCDEF0"}}),
    ],
)
def test_what_eas_documents_hold_is_taken(right: Document) -> None:
    spec = ServiceSpec.parse(right)
    assert ServiceSpec.parse(spec.document).document == spec.document


@pytest.mark.parametrize(
    ("wrong", "field", "code"),
    [
        (document({"gpu_memory": 0}), "metadata.gpu_memory", "out_of_range"),
        (document({"gpu_core_percentage": 101}), "metadata.gpu_core_percentage", "out_of_range"),
        (document({"gpu_product": "A10; rm"}), "metadata.gpu_product", "invalid"),
        (document({"qos": "Guaranteed"}), "metadata.qos", "invalid"),
        (document({"shm_size": -1}), "metadata.shm_size", "out_of_range"),
        (document({"disk": "30 GB"}), "metadata.disk", "invalid"),
        (mounted({"empty_dir": {}}, "/m:ro"), "storage[0].mount_path", "mount_colon"),
        (document({"scheduling": {"spread": {"policy": "rack"}}}), "metadata.scheduling.spread.policy", "invalid"),
        (document(autoscaler={"min": 3, "max": 2}), "autoscaler", "autoscaler_bounds"),
        (document(autoscaler={"min": -1}), "autoscaler.min", "out_of_range"),
        (document(autoscaler={"strategies": {"cpu": "much"}}), "autoscaler.strategies.cpu", "invalid"),
        (
            document(autoscaler={"scaleStrategies": [{"metricName": "cpu", "threshold": 0}]}),
            "autoscaler.scaleStrategies[0].threshold", "out_of_range",
        ),
        (document(dockerAuth="user:pass"), "dockerAuth", "docker_auth"),
        (document(dockerAuth=base64.b64encode(b"nobody").decode()), "dockerAuth", "docker_auth"),
        (document(cloud={"computing": {"instances": "x"}}), "cloud.computing.instances", "invalid"),
        (mounted({"nfs": {"path": "/x"}}), "storage[0].nfs.server", "missing"),
        (mounted({"nfs": {"server": "-o", "path": "/x"}}), "storage[0].nfs.server", "invalid"),
        (mounted({"nfs": {"server": "s", "path": "x"}}), "storage[0].nfs.path", "invalid"),
        (mounted({"git": {}}), "storage[0].git.repo", "missing"),
        (mounted({"git": {"repo": "git@github.com:a/b.git"}}), "storage[0].git.repo", "invalid"),
        (mounted({"git": {"repo": "https://user:pw@host/a.git"}}), "storage[0].git.repo", "invalid"),
        (mounted({"git": {"repo": "https://h/a", "branch": "--upload-pack=x"}}), "storage[0].git.branch", "invalid"),
        (mounted({"git": {"repo": "https://h/a", "commit": "HEAD~1"}}), "storage[0].git.commit", "invalid"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused_by_its_field(wrong: Document, field: str, code: str) -> None:
    assert errors_of(wrong) == {field: code}


@pytest.mark.parametrize(
    "wrong",
    [
        document(dockerAuth="my-user:my-password"),
        mounted({"git": {"repo": "https://me:my-password@git.example.com/a.git"}}),
        mounted({"git": {"repo": "https://h/a", "password": ["my-password"]}}),
    ],
)
def test_a_secret_in_the_wrong_place_is_not_repeated(wrong: Document) -> None:
    with pytest.raises(SpecInvalid) as caught:
        ServiceSpec.parse(wrong)
    assert "my-password" not in str(caught.value)


def test_both_spellings_of_an_autoscaler_are_one() -> None:
    short = ServiceSpec.parse(document(autoscaler={"strategies": {"cpu": 60, "qps": 1}})).parsed.autoscaler
    long = ServiceSpec.parse(
        document(
            autoscaler={
                "scaleStrategies": [{"metricName": "cpu", "threshold": 60}, {"metricName": "qps", "threshold": 1}]
            }
        )
    ).parsed.autoscaler
    assert short is not None
    assert long is not None
    assert short.thresholds == long.thresholds == {"cpu": 60, "qps": 1}
    assert short.working == {"cpu": 60}


WHOLE = document(
    {"qos": "BestEffort", "gpu_memory": 4, "cuda": "11.2", "scheduling": {"spread": {"policy": "host"}}},
    autoscaler={"min": 1, "max": 2, "strategies": {"cpu": 50, "qps": 10}},
    cloud={"computing": {"instances": [{"type": "x", "spot_price_limit": 1}]}, "networking": {"vpc_id": "v"}},
    dockerAuth=LOGIN,
)


def test_an_editor_says_what_does_nothing_here_by_the_cluster() -> None:
    here = [one.path for one in passed_over(WHOLE)]
    assert here == [
        "metadata.qos", "metadata.gpu_memory", "metadata.cuda", "metadata.scheduling", "autoscaler",
        "cloud.computing.instances[0].spot_price_limit", "cloud.networking", "dockerAuth",
    ]  # fmt: skip
    there = [one.path for one in passed_over(WHOLE, on_kubernetes=True)]
    assert there == [
        "metadata.cuda", "autoscaler.strategies.qps",
        "cloud.computing.instances[0].spot_price_limit", "cloud.networking",
    ]  # fmt: skip


def test_the_schema_offers_what_the_cluster_acts_on() -> None:
    here = document_schema()["properties"]
    there = document_schema(on_kubernetes=True)["properties"]
    assert here["autoscaler"]["deprecated"] is True
    assert "deprecated" not in there["autoscaler"]
    assert there["metadata"]["properties"]["qos"]["enum"] == ["", "BestEffort"]
    policy = there["metadata"]["properties"]["scheduling"]["properties"]["spread"]["properties"]["policy"]
    assert policy["enum"] == ["default", "host", "zone"]
    assert there["storage"]["items"]["properties"]["git"]["properties"]["repo"]["type"] == "string"

"""Clusters: where services run, how it is there, and how old what is shown is."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone, translation
from django.utils.html import strip_tags
from pytest_django import DjangoAssertNumQueries

from console.cluster_view import cluster_context, health_badge, node_rows, quota_rows
from console.environment import REPOSITORY
from deployments.cluster_models import ClusterState
from deployments.clusters import get_cluster
from deployments.clusters.base import ClusterError
from deployments.clusters.kubernetes.overview import overview_of
from deployments.clusters.kubernetes.settings import KubernetesSettings
from deployments.clusters.kubernetes.versions import NEEDED, OLDEST
from deployments.clusters.kubernetes.watching.state import health_columns
from deployments.clusters.overview import Amounts, Connection, NodeFields, totals_of
from deployments.models import Instance
from deployments.words import join, say, words_of
from tests.console.conftest import ServiceMaker

NOW = datetime(2026, 11, 21, 10, 12, tzinfo=UTC)
CONNECTION = Connection(
    "kubeconfig", "https://10.0.0.1:6443", "prod", "/root/.kube/config", "slipway", "harbour", "proxy"
)


def node(name: str, gpus: int = 0, free_gpus: int = 0, **other: Any) -> NodeFields:
    made = NodeFields(
        name=name,
        is_ready=True,
        is_cordoned=False,
        since="2026-11-21T09:00:00Z",
        reason="",
        allocatable=Amounts(cpu=16.0, memory_mib=65536, gpu=gpus),
        free=Amounts(cpu=5.5, memory_mib=32768, gpu=free_gpus),
        gpu_product="NVIDIA-A10" if gpus else "",
        gpu_memory_mib=24576 if gpus else 0,
        labels={},
        taints=[],
        version="v1.34.4",
    )
    made.update(other)  # type: ignore[typeddict-item]
    return made


def state(**fields: Any) -> ClusterState:
    values: dict[str, Any] = {
        "key": "harbour.slipway",
        "health": ClusterState.Health.OK,
        "health_since": NOW - timedelta(hours=3),
        "answered_at": NOW - timedelta(seconds=2),
        "watcher_until": NOW + timedelta(seconds=10),
        "api_version": "v1.34.4",
        "nodes": [node("node-1", gpus=2, free_gpus=1), node("node-2")],
    }
    return ClusterState(**(values | fields))


def test_a_cluster_that_answered_just_now_is_well() -> None:
    found = overview_of(state(), CONNECTION, NOW)
    assert (found.health, found.message, found.version) == ("ok", "", "v1.34.4")
    assert health_badge(found, NOW).tone == "ok"


def test_a_server_older_than_needed_is_told_and_no_failure() -> None:
    found = overview_of(state(api_version="v1.29.14-eks-1"), CONNECTION, NOW)
    assert (found.health, found.code) == ("ok", "version_old")
    assert found.message.startswith("The API server is Kubernetes v1.29.14-eks-1. Slipway needs Kubernetes 1.30 or")
    for version in ("v1.30.0", "v1.31.2+k3s1", "v2.0.0", ""):
        assert overview_of(state(api_version=version), CONNECTION, NOW).message == ""


def test_the_oldest_version_is_what_the_install_page_says() -> None:
    major, minor = OLDEST
    said = f"Kubernetes {major}.{minor} or later"
    assert said in NEEDED
    assert f"You need {said}" in (REPOSITORY / "docs/kubernetes.md").read_text()


def test_a_failing_cluster_tells_the_watchers_words_since_when() -> None:
    sentence = say("The API server answers %(status)s.", status=401)
    failing = state(
        health=ClusterState.Health.FAILING,
        code="unauthorized",
        message=str(sentence),
        message_words=words_of(sentence),
        answered_at=NOW - timedelta(minutes=12),
        health_since=NOW - timedelta(minutes=12),
    )
    found = overview_of(failing, CONNECTION, NOW)
    assert (found.health, found.code, found.message) == ("failing", "unauthorized", "The API server answers 401.")
    assert found.since == NOW - timedelta(minutes=12)
    assert health_badge(found, NOW).tone == "bad"


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"watcher_until": NOW - timedelta(minutes=2), "answered_at": NOW - timedelta(minutes=2)}, "not_watched"),
        ({"watcher_until": None}, "not_watched"),
        ({"answered_at": NOW - timedelta(minutes=2)}, "silent"),
        ({"answered_at": None}, "silent"),
    ],
)
def test_what_nobody_has_confirmed_lately_is_unknown_whatever_it_was(fields: dict[str, Any], code: str) -> None:
    found = overview_of(state(**fields), CONNECTION, NOW)
    assert (found.health, found.code) == ("unknown", code)
    badge = health_badge(found, NOW)
    assert badge.tone == "unknown"
    if fields.get("answered_at"):
        assert badge.word == "Unknown, seen 2 min ago"


def test_before_the_first_watch_it_says_what_to_start() -> None:
    found = overview_of(None, CONNECTION, NOW)
    assert found.health == "unknown"
    assert "watch_cluster" in found.message
    assert cluster_context(found, NOW)["nodes_words"] == "0 of 0"


def test_gpus_are_summed_by_product_over_nodes_that_can_be_used() -> None:
    nodes = [
        node("a", gpus=4, free_gpus=1),
        node("b", gpus=8, free_gpus=8, gpu_product="NVIDIA-H100"),
        node("c", gpus=4, free_gpus=4),
        node("down", gpus=4, free_gpus=4, is_ready=False),
        node("cordoned", gpus=4, free_gpus=4, is_cordoned=True),
    ]
    totals = totals_of(nodes)
    assert [(one.product, one.free, one.total) for one in totals.gpus] == [("NVIDIA-A10", 5, 8), ("NVIDIA-H100", 8, 8)]
    assert (totals.ready, totals.nodes) == (4, 5)


def test_free_that_is_not_known_is_said_to_be_so() -> None:
    found = overview_of(state(nodes=[node("a", gpus=2, free=None)]), CONNECTION, NOW)
    context = cluster_context(found, NOW)
    assert context["cpu"].words == "16, free: not known"
    assert context["gpus"][0]["gauge"].words == "2, free: not known"
    assert context["memory"].taken is None


def test_nodes_that_need_a_look_come_first() -> None:
    taint = {"key": "nvidia.com/gpu", "value": "", "effect": "NoSchedule"}
    nodes = [node("b", taints=[taint]), node("a"), node("z", is_ready=False, reason="Kubelet stopped posting")]
    rows = node_rows(nodes, {"a": 3})
    assert [(row.name, row.badge.status) for row in rows] == [("z", "not-ready"), ("a", "ready"), ("b", "ready")]
    assert (rows[1].instances, rows[2].taints) == (3, ("nvidia.com/gpu:NoSchedule",))
    assert rows[1].cpu.words == "5.5 of 16 free"
    assert rows[1].memory.words == "32.0 of 64.0 GiB free"


def test_each_resource_of_a_quota_is_a_row() -> None:
    rows = quota_rows(
        [{"name": "team-a", "hard": {"requests.nvidia.com/gpu": "8", "pods": "20"}, "used": {"pods": "3"}}]
    )
    assert [(row["resource"], row["used"], row["hard"]) for row in rows] == [
        ("pods", "3", "20"),
        ("requests.nvidia.com/gpu", "0", "8"),
    ]


def test_amounts_are_in_the_readers_digits() -> None:
    with translation.override("fa"):
        rows = node_rows([node("a", gpus=2, free_gpus=1)], {})
    assert "۵٫۵" in rows[0].cpu.words


def test_this_machine_is_a_cluster_of_one_node(viewer: Client, make_service: ServiceMaker) -> None:
    make_service("chat_a")
    overview = get_cluster().overview()
    [machine] = overview.nodes
    assert machine["free"] is not None
    assert 0 <= machine["free"]["memory_mib"] <= machine["allocatable"]["memory_mib"]
    listed = viewer.get("/clusters").content.decode()
    assert 'href="/clusters/local"' in listed
    page = viewer.get("/clusters/local").content.decode()
    assert machine["name"] in page
    assert Instance.objects.count() == 1


def test_there_is_no_other_cluster(viewer: Client) -> None:
    assert viewer.get("/clusters/elsewhere").status_code == 404


@pytest.fixture
def kubernetes(settings: Any, tmp_path: Path) -> Callable[..., ClusterState]:
    """A Slipway on Kubernetes whose watcher has left a row; no API server is there, and none is asked."""
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "prod",
        "contexts": [{"name": "prod", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": "https://10.0.0.1:6443"}}],
        "users": [{"name": "u", "user": {"token": "hush-hush"}}],
    }
    file = tmp_path / "kubeconfig"
    file.write_text(json.dumps(config))
    settings.SLIPWAY_CLUSTER = "kubernetes"
    settings.SLIPWAY_KUBERNETES = KubernetesSettings(
        namespace="slipway", installation="harbour", kubeconfig=str(file), pod_access="proxy"
    )

    def write(**fields: Any) -> ClusterState:
        now = timezone.now()
        found = state(answered_at=now, watcher_until=now + timedelta(seconds=10), listed_at=now)
        for name, value in fields.items():
            setattr(found, name, value)
        found.save()
        return found

    return write


def test_the_connection_and_quotas_are_for_those_who_may_deploy(
    viewer: Client, operator: Client, kubernetes: Callable[..., ClusterState]
) -> None:
    kubernetes(quotas=[{"name": "team-a", "hard": {"pods": "20"}, "used": {"pods": "3"}}])
    seen = viewer.get("/clusters/local").content.decode()
    assert "node-1" in seen
    assert "10.0.0.1" not in seen
    assert "team-a" not in seen
    seen = operator.get("/clusters/local").content.decode()
    for text in ("https://10.0.0.1:6443", ">prod<", "team-a", "through the API server", "v1.34.4", "1 of 2 free"):
        assert text in seen
    assert "hush-hush" not in seen


def test_the_page_says_that_a_server_is_older_than_needed(
    owner: Client, kubernetes: Callable[..., ClusterState]
) -> None:
    kubernetes(api_version="v1.28.3", nodes=[node("node-1", version="v1.28.3")])
    page = owner.get("/clusters/local").content.decode()
    assert "Slipway needs Kubernetes 1.30 or later." in page
    assert "What runs goes on running." not in page
    assert '<code dir="ltr">version_old</code>' in page


def test_the_form_offers_the_gpus_that_nodes_name(operator: Client, kubernetes: Callable[..., ClusterState]) -> None:
    kubernetes(nodes=[node("node-1", gpus=2), node("node-2", gpus=1, gpu_product="NVIDIA-L20"), node("node-3")])
    page = operator.get("/deploy/llm").content.decode()
    choice = page[page.index('id="f-gpu_product"') :].partition("</select>")[0]
    assert re.findall(r'<option value="([^"]*)"', choice) == ["", "NVIDIA-A10", "NVIDIA-L20"]
    ClusterState.objects.update(nodes=[node("node-1", gpus=2, gpu_product="")])
    assert 'id="f-gpu_product"' not in operator.get("/deploy/llm").content.decode()


NAMED = "nvidia.com/gpu.product"


def judged(person: Client, product: str) -> tuple[str, dict[str, Any]]:
    """The summary of the LLM form, as text, and the first check over REST, both of one GPU of that kind."""
    form = f"/deploy/llm?model=Qwen2-7b&gpu=1&gpu_product={product}"
    page = person.get(form).content.decode()
    metadata = {"name": "asks", "instance": 1, "cpu": 1, "memory": 1000, "gpu": 1, "gpu_product": product}
    document = {"metadata": metadata, "containers": [{"image": "a:1", "script": "serve", "port": 8000}]}
    pair = base64.b64encode(b"oskar:oskar-has-a-secret").decode()
    headers = {"Authorization": f"Basic {pair}"}
    answer = person.post("/api/v2/preflight", json.dumps(document), "application/json", headers=headers).json()
    summary = page[page.index('id="summary"') :].partition("</aside>")[0]
    return strip_tags(summary), answer["Checks"][0]


def test_before_the_click_the_kind_of_gpu_is_judged(operator: Client, kubernetes: Callable[..., ClusterState]) -> None:
    names = {"node-1": "NVIDIA-A10", "node-2": "NVIDIA-H100-80GB-HBM3"}
    kubernetes(
        nodes=[
            node(name, gpus=2, gpu_product=product, labels={NAMED: product},
                 free=Amounts(cpu=16.0, memory_mib=65536, gpu=2 if product == "NVIDIA-A10" else 0))
            for name, product in names.items()
        ]
    )  # fmt: skip
    summary, check = judged(operator, "NVIDIA-A10")
    assert check["State"] == "ok"
    assert "Fits here" in summary
    summary, check = judged(operator, "H100")
    assert (check["State"], check["Code"]) == ("waits", "GpuShort")
    assert "1 × NVIDIA-H100-80GB-HBM3" in summary, "recommended for the kind that a known name stands for"
    for words in ("Needs 1 NVIDIA-H100-80GB-HBM3; 0 of 2 are free.", "Starts by itself when 1 is free."):
        assert words in summary
        assert words in (check["Message"], check["Cure"])
    summary, check = judged(operator, "NVIDIA-L20")
    assert (check["State"], check["Code"]) == ("fails", "GpuProductMissing")
    assert "Fits here" not in summary
    for words in (
        "No node has NVIDIA-L20; there are NVIDIA-A10, NVIDIA-H100-80GB-HBM3.",
        "Choose another kind of GPU or instance type, or add such a node.",
    ):
        assert words in summary
        assert words in (check["Message"], check["Cure"])


def test_nodes_that_may_not_be_listed_are_not_said_to_be_none(
    owner: Client, kubernetes: Callable[..., ClusterState]
) -> None:
    kubernetes(nodes=[])
    page = owner.get("/clusters/local").content.decode()
    assert "may not list nodes" in page
    assert "0 of 0" not in page
    assert "v1.34.4" in page


def test_why_a_cluster_fails_is_told_with_the_cure() -> None:
    error = ClusterError("forbidden", say("Slipway may not list pods."), say("Allow it."), needs_person=True)
    columns = health_columns(ClusterState(), error, NOW, is_whole=True)
    assert columns["message"] == "Slipway may not list pods. Allow it."
    assert columns["message_words"] == words_of(join(say("Slipway may not list pods."), say("Allow it.")))


def test_a_hundred_nodes_are_two_pages(owner: Client, kubernetes: Callable[..., ClusterState]) -> None:
    kubernetes(nodes=[node(f"node-{number:03}") for number in range(100)])
    assert owner.get("/clusters/local").content.decode().count('id="node-') == 50
    assert 'id="node-node-099"' in owner.get("/clusters/local?page=2").content.decode()


def test_a_cluster_without_readable_credentials_still_has_its_page(
    operator: Client, kubernetes: Callable[..., ClusterState], settings: Any
) -> None:
    kubernetes()
    Path(settings.SLIPWAY_KUBERNETES.kubeconfig).write_text("nonsense: [")
    assert operator.get("/clusters/local").status_code == 200


def test_services_are_as_fresh_as_what_the_cluster_tells_by_itself(
    owner: Client, kubernetes: Callable[..., ClusterState], make_service: ServiceMaker
) -> None:
    long_ago = timezone.now() - timedelta(seconds=58)
    make_service("chat_a", observed_at=long_ago, progress_since=long_ago)
    row = kubernetes()
    assert 'data-status="Running"' in owner.get("/").content.decode()
    assert 'data-status="Running"' in owner.get("/services/chat_a").content.decode()
    told = say("The API server answers %(status)s.", status=401)
    row.health, row.code, row.answered_at = ClusterState.Health.FAILING, "unauthorized", long_ago
    row.message, row.message_words = str(told), words_of(told)
    row.save()
    for path in ("/", "/services/chat_a", "/services/chat_a/events"):
        page = owner.get(path).content.decode()
        assert 'data-status="Unknown"' in page
        assert "The API server answers 401." in page


@pytest.mark.parametrize(("path", "most"), [("/", 8), ("/services/chat_a", 10), ("/clusters/local", 12)])
def test_pages_ask_the_database_no_more_on_kubernetes(
    owner: Client,
    kubernetes: Callable[..., ClusterState],
    make_service: ServiceMaker,
    django_assert_max_num_queries: DjangoAssertNumQueries,
    path: str,
    most: int,
) -> None:
    for name in ("chat_a", "chat_b", "chat_c"):
        make_service(name)
    kubernetes()
    owner.get(path)
    with django_assert_max_num_queries(most):
        assert owner.get(path).status_code == 200


def test_a_person_without_a_workspace_sees_the_cluster(db: None) -> None:
    client = Client()
    client.force_login(User.objects.create_user("nina"))
    assert client.get("/clusters/local").status_code == 200

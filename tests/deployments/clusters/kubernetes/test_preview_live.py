"""A preview beside real objects, and what it needs from elsewhere: nothing is written, secrets are found or missed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from deployments.clusters.base import Workload
from deployments.clusters.kubernetes.backend import KubernetesCluster
from deployments.clusters.preview import MASK
from deployments.preflight import changes_of
from deployments.spec import ServiceSpec
from tests.kube import KubeCluster, fresh_namespace

pytestmark = [pytest.mark.kubernetes, pytest.mark.django_db]

UID = "eas-m-previewprevi"


@pytest.fixture
def place(objects_only: KubeCluster) -> Iterator[str]:
    with fresh_namespace(objects_only) as name:
        yield name


def workload(revision: int = 1, image: str = "a:1", instances: int = 1, **env: str) -> Workload:
    variables = [{"name": name, "value": value} for name, value in env.items()]
    program = {"image": image, "script": "serve", "port": 8000, "env": variables}
    metadata = {"name": "previewed", "instance": instances, "cpu": 1, "memory": 256}
    spec = ServiceSpec.parse({"metadata": metadata, "containers": [program]})
    return Workload(UID, "previewed", revision, spec, instances, "0")


def acts(cluster: KubernetesCluster, wanted: Workload) -> dict[str, Any]:
    """Each object's act and changed paths, by its kind."""
    shown = map(changes_of, cluster.preview(wanted).objects)
    return {one.shown.name.partition("/")[0]: (one.act, [change.path for change in one.changes]) for one in shown}


def test_what_is_previewed_is_what_is_written_and_nothing_before(objects_only: KubeCluster, place: str) -> None:
    cluster = KubernetesCluster(objects_only.settings(place))
    first = workload(HF_TOKEN="hush-hush", MODE="fast")
    before = dict(cluster.connection.counts)
    preview = cluster.preview(first)
    assert {one.live for one in preview.objects} == {None}
    assert "hush-hush" not in str(preview)
    assert {
        verb: count for verb, count in cluster.connection.counts.items() if verb in ("apply", "patch", "delete")
    } == {verb: count for verb, count in before.items() if verb in ("apply", "patch", "delete")}

    cluster.apply(first)

    names = objects_only.kubectl("get", "deploy,svc,secret,netpol", "-n", place, "-o", "name").split()
    assert {name.partition("/")[2] for name in names} == {one.name.partition("/")[2] for one in preview.objects}
    assert {act for act, _ in acts(cluster, first).values()} == {"keep"}


def test_changes_are_named_and_secrets_only_as_changed(objects_only: KubeCluster, place: str) -> None:
    cluster = KubernetesCluster(objects_only.settings(place))
    cluster.apply(workload(HF_TOKEN="hush-hush", MODE="fast"))

    found = acts(cluster, workload(2, "a:2", 3, HF_TOKEN="other-secret", MODE="fast"))

    act, paths = found["Deployment"]
    assert act == "change"
    assert "spec.template.spec.containers[0].image" in paths
    assert "spec.replicas" in paths
    act, paths = found["Secret"]
    assert (act, [path.startswith("data.") for path in paths]) == ("change", [True])
    assert found["Service"][0] == "keep"
    shown = str(cluster.preview(workload(2, HF_TOKEN="other-secret")))
    assert "other-secret" not in shown
    assert MASK in shown


def test_pull_secrets_are_looked_for_in_the_namespace(objects_only: KubeCluster, place: str) -> None:
    login = ("--docker-server=r.example", "--docker-username=u", "--docker-password=p")
    objects_only.kubectl("create", "secret", "docker-registry", "registry", "-n", place, *login)
    objects_only.kubectl("create", "secret", "generic", "other", "-n", place, "--from-literal=a=b")
    names = ("registry", "other", "missing")
    cluster = KubernetesCluster(objects_only.settings(place, image_pull_secrets=names))
    assert cluster.preview(workload()).needs_access

    checks = cluster.check_access(workload().spec)

    assert [(check.key, check.state, check.code) for check in checks] == [
        ("pull_secret", "ok", ""),
        ("pull_secret", "fails", "pull_secret_wrong"),
        ("pull_secret", "fails", "pull_secret_missing"),
    ]

"""Storage that is filled before the start, on a real kubelet: from a real server of S3's protocol, and from git's."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from moto.server import ThreadedMotoServer

from deployments.clusters.kubernetes.object_store import connect
from tests.deployments.clusters.kubernetes.git_server import PASSWORD, Repository, git_server
from tests.deployments.clusters.kubernetes.running import Runner, own
from tests.kube import KubeCluster, require_image
from tests.waiting import wait_until

pytestmark = pytest.mark.kubernetes

TOOLS = "kube.local/slipway:dev"
LOOK = "cat /model_dir/config.json; echo; touch /model_dir/more || echo read-only"


@pytest.fixture(scope="module")
def host(kube: KubeCluster) -> str:
    """This machine as pods reach it. The node has to be this machine, too."""
    require_image(kube)
    node, *_ = kube.get("nodes")["items"]
    if not any(TOOLS in (image.get("names") or ()) for image in node["status"]["images"]):
        pytest.skip(f"the cluster has no image {TOOLS}: build it with make images")
    return next(str(one["address"]) for one in node["status"]["addresses"] if one["type"] == "InternalIP")


@pytest.fixture(scope="module")
def store(host: str) -> Iterator[str]:
    """An object store with a folder in it."""
    server = ThreadedMotoServer(ip_address=host, port=0, verbose=False)
    server.start()
    address = f"http://{host}:{server.get_host_and_port()[1]}"
    client = connect(address, "the-id", "the-secret")
    client.create_bucket(Bucket="models")
    client.put_object(Bucket="models", Key="team/tiny/config.json", Body=b'{"is": "copied"}')
    yield address
    server.stop()


@pytest.fixture
def runner(kube: KubeCluster, namespace: str, host: str) -> Iterator[Runner]:
    keys = {"akId": "the-id", "akSecret": "the-secret"}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "oss-keys"}, "stringData": keys}
    kube.kubectl("apply", "-n", namespace, "-f", "-", stdin=json.dumps(secret))
    yield Runner(kube, namespace)
    kube.try_kubectl("delete", "deployments", "-n", namespace, "--all", "--grace-period=0", "--force")


def mounting(source: dict[str, Any], script: str = LOOK) -> dict[str, Any]:
    return own(f"{script}\nsleep 1000", storage=[{"mount_path": "/model_dir", **source}])


def test_a_folder_of_an_object_store_is_copied_and_read_only(runner: Runner, store: str) -> None:
    oss = {"oss": {"path": "oss://models/team/tiny/", "endpoint": store}}
    runner.apply(mounting(oss), oss_secret="oss-keys")
    runner.wait_for_line('{"is": "copied"}')
    runner.wait_for_line("read-only")
    assert "slipway: 1 files copied, the others were here" in runner.log("storage-0")


def test_a_claim_keeps_what_was_copied_for_the_next_instance(
    runner: Runner, store: str, kube: KubeCluster, tmp_path: Path
) -> None:
    tmp_path.chmod(0o777)
    size = {"storage": "1Gi"}
    volume = {
        "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": runner.namespace},
        "spec": {
            "capacity": size, "accessModes": ["ReadWriteMany"], "storageClassName": "",
            "hostPath": {"path": str(tmp_path)},
            "claimRef": {"namespace": runner.namespace, "name": "models"},
        },
    }  # fmt: skip
    claim = {
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "models"},
        "spec": {"accessModes": ["ReadWriteMany"], "storageClassName": "", "resources": {"requests": size}},
    }  # fmt: skip
    for made in (volume, claim):
        kube.kubectl("apply", "-n", runner.namespace, "-f", "-", stdin=json.dumps(made))
    try:
        wanted = mounting({"oss": {"path": "oss://models/team/tiny/"}})
        runner.apply(wanted, oss_secret="oss-keys", oss_claim="models", oss_endpoint=store)
        runner.wait_for_line('{"is": "copied"}')
        (first,) = runner.pods()
        kube.kubectl("delete", "pod", "-n", runner.namespace, first["metadata"]["name"], "--grace-period=0", "--force")
        runner.wait_for_line("slipway: 0 files copied, the others were here", "storage-0")
        runner.wait_for_line("read-only")
    finally:
        kube.try_kubectl("delete", "deployments", "-n", runner.namespace, "--all", "--grace-period=0", "--force")
        kube.try_kubectl("delete", "pv", runner.namespace, "--wait=false")


def test_what_cannot_be_copied_says_why(runner: Runner, store: str) -> None:
    runner.apply(mounting({"oss": {"path": "oss://absent/", "endpoint": store}}), oss_secret="oss-keys")

    def last_words() -> str:
        for pod in runner.pods():
            for one in pod["status"].get("initContainerStatuses", ()):
                for state in (one["state"], one.get("lastState", {})):
                    if "terminated" in state:
                        return str(state["terminated"].get("message", ""))
        return ""

    said = wait_until(last_words, "the init container ends", timeout_seconds=120)
    assert said.strip().splitlines()[-1] == "slipway: NoSuchBucket: there is no bucket absent"


@pytest.fixture(scope="module")
def repository(host: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Repository]:
    with git_server(tmp_path_factory.mktemp("git"), host) as found:
        yield found


def test_a_private_repository_is_cloned(runner: Runner, repository: Repository) -> None:
    git = {"repo": repository.private_url, "branch": "main", "username": "robot", "password": PASSWORD}
    look = "cat /model_dir/model.txt; echo; touch /model_dir/more && echo writable"
    runner.apply(mounting({"git": git}, look))
    runner.wait_for_line("two")
    runner.wait_for_line("writable")
    (pod,) = runner.pods()
    assert PASSWORD not in json.dumps(pod)

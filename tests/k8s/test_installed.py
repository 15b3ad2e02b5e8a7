"""Slipway installed by ``k8s/`` on a real node, deploying the bundled model from inside and chatting with it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from tests.chatting import CAPITAL, address_of, ask_over_everything
from tests.k8s.installation import Installation, installed
from tests.kube import KubeCluster, require_image
from tests.slipway_client import RestClient
from tests.waiting import wait_until

pytestmark = [pytest.mark.kubernetes, pytest.mark.supervisor, pytest.mark.timeout(1500)]

NAME = "capital_city"
#: The bundled model, with no cores set aside for it: other tests' pods may have taken all that the node has.
DOCUMENT = {
    "metadata": {"name": NAME, "instance": 1, "cpu": 1, "memory": 1000, "qos": "BestEffort"},
    "containers": [
        {
            "image": "chat-llm-webui:3.0",
            "script": "python webui/webui_server.py --port=8000 --model-path=SmolLM2-135M-Instruct",
            "port": 8000,
        }
    ],
}
START_SECONDS = 180
OWNED = (
    "deployments,replicasets,pods,services,endpointslices,secrets,persistentvolumeclaims,networkpolicies,"
    "poddisruptionbudgets,horizontalpodautoscalers"
)


@dataclass(frozen=True)
class Inside:
    installation: Installation
    client: RestClient

    def objects(self) -> list[str]:
        """What there is in the namespace of services but what k8s/ itself put there."""
        found = self.installation.cluster.kubectl(
            "get", OWNED, "-n", self.installation.services, "-l", "app.kubernetes.io/managed-by=slipway", "-o", "name"
        )
        return found.split()

    def pods(self) -> list[str]:
        return [name for name in self.objects() if name.startswith("pod/")]


@pytest.fixture(scope="module")
def inside(kube: KubeCluster) -> Iterator[Inside]:
    for image in ("kube.local/slipway:dev", "kube.local/postgres:dev"):
        require_image(kube, image)
    with installed(kube) as installation:
        installation.wait_until_ready()
        yield Inside(installation, installation.client())


def test_everything_is_ready_and_knows_the_cluster(inside: Inside) -> None:
    def is_ready() -> bool:
        with contextlib.suppress(httpx.TransportError):  # its address is known on the node a moment after its pods
            return inside.client.http.get("/readyz").status_code == 200
        return False

    wait_until(is_ready, "/readyz is 200", 60)

    def listed() -> dict[str, Any]:
        (cluster,) = inside.client.call("GET", "/clusters").json()["Clusters"]
        return dict(cluster)

    wait_until(lambda: listed()["Health"] == "ok", "the cluster is watched", 60)
    wait_until(
        lambda: listed()["ReadyNodeCount"] >= 1 and listed()["FreeKnown"], "nodes and what is free are known", 60
    )
    described = inside.client.call("GET", f"/clusters/{listed()['ClusterId']}").json()
    assert described["Connection"]["Way"] == "in-cluster", described


def test_the_bundled_model_is_deployed_from_inside_chatted_with_changed_and_leaves_nothing(inside: Inside) -> None:
    client = inside.client
    answer = client.call("POST", "/services", DOCUMENT)
    assert answer.status_code == 201, answer.text
    client.wait_for(NAME, "Running", START_SECONDS)
    ask_over_everything(client, NAME)

    assert client.call("PUT", f"/services/local/{NAME}/scale", {"Instances": 2}).status_code == 200
    wait_until(lambda: len(inside.pods()) == 2, "there are two pods", START_SECONDS)
    client.wait_for(NAME, "Running", START_SECONDS)

    document = json.loads(client.describe(NAME)["ServiceConfig"])
    document["containers"][0]["env"] = [{"name": "GREETING", "value": "hello"}]
    assert client.call("PUT", f"/services/local/{NAME}", document).status_code == 200
    client.wait_for(NAME, "Running", START_SECONDS)
    assert client.call("PUT", f"/services/local/{NAME}/version", {"Version": 1}).status_code == 200
    client.wait_for(NAME, "Running", START_SECONDS)
    ask_over_everything(client, NAME)

    client.put(NAME, "stop")
    client.wait_for(NAME, "Stopped", 60)
    assert inside.pods() == []
    address, token = address_of(client, NAME)
    refused = httpx.post(address, content=CAPITAL, headers={"Authorization": token}, timeout=30, trust_env=False)
    assert refused.status_code == 503
    client.call("DELETE", f"/services/local/{NAME}")
    client.wait_gone(NAME, 90)
    assert inside.objects() == []


def test_killed_parts_come_back_and_what_was_wanted_is_still_there(inside: Inside) -> None:
    """Worker, beat, watcher and Valkey at once, while the database stays."""
    installation = inside.installation
    before = inside.client.call("GET", "/services").json()
    parts = "app.kubernetes.io/component in (worker,beat,watcher,valkey)"
    installation.kubectl("delete", "pods", "--grace-period=0", "--force", "--selector", parts)
    installation.wait_until_ready()
    wait_until(lambda: inside.client.http.get("/readyz").status_code == 200, "/readyz is 200 again", 90)
    after = inside.client.call("GET", "/services").json()
    assert {**before, "RequestId": ""} == {**after, "RequestId": ""}


def test_no_part_restarted_by_itself(inside: Inside) -> None:
    pods = inside.installation.cluster.get("--namespace", inside.installation.namespace, "pods")["items"]
    restarts = {
        one["metadata"]["name"]: status["restartCount"]
        for one in pods
        for status in one["status"].get("containerStatuses", ())
        if status["restartCount"]
    }
    assert restarts == {}, inside.installation.describe()

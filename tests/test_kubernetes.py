"""The whole of Slipway on a real cluster: the bundled model in pods, from the console's form to nothing left.

Once for each way to reach a pod: its own address, the API server's proxy, a node port.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.chatting import CAPITAL, address_of, ask_over_everything
from tests.kube import KubeCluster, fresh_namespace, require_image
from tests.slipway_client import PASSWORD, SlipwayClient
from tests.slipway_process import SlipwayProcess
from tests.waiting import wait_until

pytestmark = [pytest.mark.kubernetes, pytest.mark.supervisor, pytest.mark.timeout(900)]

NAME = "capital_city"
FORM = {"service_name": NAME, "model_source": "open-source", "model": "SmolLM2-135M-Instruct", "acceleration": "none"}
START_SECONDS = 120
STREAMS = 4
#: Everything that Slipway may make for a service, in its namespace and outside.
OWNED = (
    "deployments,replicasets,pods,services,endpointslices,secrets,configmaps,persistentvolumeclaims,networkpolicies,"
    "poddisruptionbudgets,horizontalpodautoscalers"
)


@dataclass
class Whole:
    """A Slipway with a namespace of its own."""

    kube: KubeCluster
    namespace: str
    client: SlipwayClient
    access: str

    def pods(self) -> dict[str, dict[str, Any]]:
        """Those that are not being removed, by name."""
        found = self.kube.get("pods", "-n", self.namespace)["items"]
        return {one["metadata"]["name"]: one for one in found if "deletionTimestamp" not in one["metadata"]}

    def objects(self) -> list[str]:
        """Every object that carries Slipway's label, and every pod whatever it carries."""
        marked = self.kube.kubectl(
            "get", OWNED, "-n", self.namespace, "-l", "app.kubernetes.io/managed-by=slipway", "-o", "name"
        )
        volumes = self.kube.kubectl(
            "get", "persistentvolumes", "-l", f"slipway.dev/installation={self.namespace}", "-o", "name"
        )
        pods = self.kube.kubectl("get", "pods", "-n", self.namespace, "-o", "name")
        return sorted({*marked.split(), *volumes.split(), *pods.split()})

    def instances(self) -> list[dict[str, Any]]:
        answer = self.client.call("GET", f"/services/local/{NAME}/instances")
        return list(answer.json()["Instances"])

    def versions(self) -> list[str]:
        """The version that each pod runs."""
        return sorted(one["metadata"]["labels"]["slipway.dev/revision"] for one in self.pods().values())


@pytest.fixture(params=["proxy", "pod", "node"])
def whole(kube: KubeCluster, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Whole]:
    require_image(kube)
    with fresh_namespace(kube) as namespace:
        slipway = SlipwayProcess(
            tmp_path / "data",
            SLIPWAY_ADMIN_PASSWORD=PASSWORD,
            SLIPWAY_CLUSTER="kubernetes",
            KUBECONFIG=str(kube.kubeconfig),
            SLIPWAY_NAMESPACE=namespace,
            SLIPWAY_INSTALLATION=namespace,
            SLIPWAY_POD_ACCESS=request.param,
        )
        try:
            slipway.start()
            yield Whole(kube, namespace, SlipwayClient(slipway), request.param)
        finally:
            slipway.end_everything()


@dataclass
class Asker:
    """Asks the service again and again, one question at a time, while something happens to it."""

    client: SlipwayClient
    answers: int = 0
    failures: list[str] = field(default_factory=list)

    def __enter__(self) -> Asker:
        self._is_over = threading.Event()
        self._address, self._token = address_of(self.client, NAME)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()

    def _run(self) -> None:
        headers = {"Authorization": self._token}
        asked = {"prompt": "Count to ten.", "temperature": 0, "max_new_tokens": 24}
        with httpx.Client(timeout=60, trust_env=False) as http:
            while not self._is_over.is_set():
                answer = http.post(self._address, json=asked, headers=headers)
                last = [frame for frame in answer.content.split(b"\0") if frame][-1:]
                if answer.status_code == 200 and last and "error" not in json.loads(last[0]):
                    self.answers += 1
                else:
                    self.failures.append(f"{answer.status_code} {answer.text[-500:]}")
                time.sleep(0.05)


def test_the_bundled_model_is_deployed_chatted_with_changed_and_leaves_nothing(whole: Whole) -> None:
    client = whole.client
    answer = client.call("POST", "/llm-services", {**FORM, "instances": 1})
    assert answer.status_code == 201, answer.text
    client.wait_for(NAME, "Running", START_SECONDS)
    (instance,) = whole.instances()
    (pod,) = whole.pods()
    assert instance["InstanceName"] == pod
    ask_over_everything(client, NAME)
    assert read_log(whole, pod)

    scale_while_asked(whole, 2)
    assert pod in whole.pods(), "a scale restarts nothing"
    update_while_asked(whole)
    if whole.access == "proxy":  # what is left is the same whichever way requests go
        roll_back(whole)
        stop_and_start(whole)
        restart_one(whole)

    client.call("DELETE", f"/services/local/{NAME}")
    client.wait_gone(NAME, 60)
    assert whole.objects() == []


def read_log(whole: Whole, pod: str) -> str:
    found: list[str] = []

    def has_log() -> bool:
        answer = whole.client.call("GET", f"/services/local/{NAME}/logs?InstanceName={pod}")
        found[:] = answer.json()["Logs"]
        return bool(found)

    wait_until(has_log, "the pod's log is kept", 30)
    return "\n".join(found)


def scale_while_asked(whole: Whole, count: int) -> None:
    with Asker(whole.client) as asker:
        assert whole.client.call("PUT", f"/services/local/{NAME}/scale", {"Instances": count}).status_code == 200
        whole.client.wait_for(NAME, "Running", START_SECONDS)
        wait_until(lambda: len(ready(whole)) == count, f"{count} instances are ready", START_SECONDS)
    assert asker.answers
    assert asker.failures == []


def ready(whole: Whole) -> list[str]:
    return [one["InstanceName"] for one in whole.instances() if one["ReadyProcesses"]]


def update_while_asked(whole: Whole) -> None:
    """A new version rolls, a pod at a time, and no question is lost."""
    document = json.loads(whole.client.describe(NAME)["ServiceConfig"])
    before = set(whole.pods())
    container = document["containers"][0]
    container["env"] = [*container.get("env", []), {"name": "GREETING", "value": "hello"}]
    with Asker(whole.client) as asker:
        answer = whole.client.call("PUT", f"/services/local/{NAME}", document)
        assert answer.status_code == 200, answer.text
        wait_until(lambda: whole.versions() == ["2", "2"], "both pods run the new version", START_SECONDS)
        whole.client.wait_for(NAME, "Running", START_SECONDS)
    assert not before & set(whole.pods())
    assert asker.answers
    assert asker.failures == []
    ask_over_everything(whole.client, NAME)


def roll_back(whole: Whole) -> None:
    answer = whole.client.call("PUT", f"/services/local/{NAME}/version", {"Version": 1})
    assert answer.status_code == 200, answer.text
    wait_until(lambda: whole.versions() == ["1", "1"], "both pods run the first version again", START_SECONDS)
    whole.client.wait_for(NAME, "Running", START_SECONDS)
    ask_over_everything(whole.client, NAME)


def stop_and_start(whole: Whole) -> None:
    whole.client.put(NAME, "stop")
    whole.client.wait_for(NAME, "Stopped", 60)
    assert whole.pods() == {}
    assert [one for one in whole.objects() if one.startswith("deployment")], "a stop keeps all but the pods"
    address, token = address_of(whole.client, NAME)
    refused = httpx.post(address, content=CAPITAL, headers={"Authorization": token}, timeout=30, trust_env=False)
    assert (refused.status_code, refused.json()["code"]) == (503, "no_healthy_upstream")
    whole.client.put(NAME, "start")
    whole.client.wait_for(NAME, "Running", START_SECONDS)
    ask_over_everything(whole.client, NAME)


def restart_one(whole: Whole) -> None:
    """The other one answers meanwhile, and the one that goes finishes what it is telling."""
    wait_until(lambda: len(ready(whole)) == 2, "two instances are ready", START_SECONDS)
    first, second = sorted(whole.pods())
    with ThreadPoolExecutor(STREAMS) as threads, Asker(whole.client) as asker:
        begun = threading.Barrier(STREAMS + 1, timeout=60)
        streams = [threads.submit(stream_to_its_end, whole.client, begun) for _ in range(STREAMS)]
        begun.wait()  # each has told its first words: so many at once are on both instances
        answer = whole.client.call("DELETE", f"/services/local/{NAME}/instances?InstanceList={first}")
        assert answer.status_code == 200, answer.text
        wait_until(lambda: first not in whole.pods(), "the pod is removed", 60)
        wait_until(lambda: len(ready(whole)) == 2, "two instances are ready again", START_SECONDS)
    assert second in whole.pods()
    assert asker.failures == []
    for stream in streams:
        assert stream.result()[-1] == "[DONE]"


def stream_to_its_end(client: SlipwayClient, begun: threading.Barrier) -> list[str]:
    """One long answer; returns the data of its events."""
    address, token = address_of(client, NAME)
    body = {"messages": [{"role": "user", "content": "Tell me a long story."}], "stream": True, "max_tokens": 100}
    told = []
    with httpx.stream(
        "POST", f"{address}/v1/chat/completions", json=body, headers={"Authorization": token}, timeout=120,
        trust_env=False,
    ) as answer:  # fmt: skip
        for line in answer.iter_lines():
            if line.startswith("data: "):
                told.append(line.removeprefix("data: "))
                if len(told) == 3:
                    begun.wait()
    return told

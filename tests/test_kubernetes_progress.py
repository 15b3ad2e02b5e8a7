"""How far a start is, in bytes: a model is copied to a real pod from a slow object store, and loaded there."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from moto.server import ThreadedMotoServer

from deployments.clusters.kubernetes.object_store import connect
from inference_gateway.runtime.model_files import find_model_files
from tests.kube import KubeCluster, require_image
from tests.slipway_client import PASSWORD, SlipwayClient
from tests.slipway_process import SlipwayProcess
from tests.slow_link import slow_link
from tests.waiting import wait_until

pytestmark = [pytest.mark.kubernetes, pytest.mark.supervisor, pytest.mark.timeout(600)]

MIB = 2**20
NAME = "copied"
MODEL = find_model_files("SmolLM2-135M-Instruct").path
RATE = 8 * MIB  # some 12 s for the bundled model
#: A part of a core: loading takes some seconds then.
DOCUMENT: dict[str, Any] = {
    "metadata": {"name": NAME, "instance": 1, "cpu": 0.2, "memory": 1000, "eas.termination_grace_period": 1},
    "containers": [
        {
            "image": "chat-llm-webui:3.0",
            "port": 8000,
            "script": f"python webui/webui_server.py --port=8000 --model-path=/model_dir/{MODEL.name}",
        }
    ],
}


@pytest.fixture
def store(kube: KubeCluster) -> Iterator[str]:
    """An object store with the model in it, as pods reach it: slowly."""
    require_image(kube)
    require_image(kube, "kube.local/slipway:dev")
    node, *_ = kube.get("nodes")["items"]
    host = next(str(one["address"]) for one in node["status"]["addresses"] if one["type"] == "InternalIP")
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    address = server.get_host_and_port()
    client = connect(f"http://{address[0]}:{address[1]}", "", "")
    client.create_bucket(Bucket="models")
    client.upload_file(str(MODEL), "models", f"tiny/{MODEL.name}")
    with slow_link(host, address, RATE) as port:
        yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def client(kube: KubeCluster, namespace: str, tmp_path: Path) -> Iterator[SlipwayClient]:
    slipway = SlipwayProcess(
        tmp_path / "data",
        SLIPWAY_ADMIN_PASSWORD=PASSWORD,
        SLIPWAY_CLUSTER="kubernetes",
        KUBECONFIG=str(kube.kubeconfig),
        SLIPWAY_NAMESPACE=namespace,
        SLIPWAY_INSTALLATION=namespace,
    )
    try:
        slipway.start()
        yield SlipwayClient(slipway)
    finally:
        slipway.end_everything()


@dataclass
class Told:
    """What REST said of the service and its one instance while it started, each sentence once."""

    of_service: list[str] = field(default_factory=list)
    of_instance: list[str] = field(default_factory=list)

    def note(self, client: SlipwayClient) -> bool:
        """Whether it runs now."""
        described = client.describe(NAME)
        found = client.call("GET", f"/services/local/{NAME}/instances").json()["Instances"]
        for told, sentence in (
            (self.of_service, described["Message"]),
            *((self.of_instance, one["Message"]) for one in found),
        ):
            if sentence not in told:
                told.append(sentence)
        return bool(described["Status"] == "Running")


def mebibytes(sentences: Sequence[str], pattern: str) -> list[int]:
    return [int(match[1]) for one in sentences if (match := re.fullmatch(pattern, one))]


def test_bytes_that_are_copied_and_loaded_are_told_with_what_is_left(client: SlipwayClient, store: str) -> None:
    oss = {"path": "oss://models/tiny/", "endpoint": store}
    client.create({**DOCUMENT, "storage": [{"mount_path": "/model_dir", "oss": oss}]})
    told = Told()
    began = time.monotonic()
    wait_until(lambda: told.note(client), f"it runs, after {told}", 180)
    seconds = time.monotonic() - began

    copying, source = r"Copying files: (\d+) of 94 MiB", r" \(oss://models/tiny\)\."
    estimate = r", \d\.\d MiB/s, about \d+ s left"
    for sentences in (told.of_service, told.of_instance):
        copied = mebibytes(sentences, rf"{copying}(?:{estimate})?{source}")
        assert copied == sorted(copied), sentences
        assert len([done for done in copied if 0 < done < 94]) >= 5, sentences
        assert mebibytes(sentences, rf"{copying}{estimate}{source}"), sentences
        assert len(copied) <= seconds, "about once a second, however often it is looked"
        assert mebibytes(sentences, r"Loading weights: (\d+) of 94 MiB\."), sentences

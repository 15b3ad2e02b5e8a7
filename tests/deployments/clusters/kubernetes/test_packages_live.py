"""Python packages of a document, installed by the runtime's own image on a real kubelet before its engine starts."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.deployments.clusters.kubernetes.running import Runner, own
from tests.deployments.clusters.kubernetes.tiny_wheel import make_tiny_wheel
from tests.kube import IMAGE, KubeCluster, require_image
from tests.waiting import wait_until

pytestmark = pytest.mark.kubernetes


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def index(kube: KubeCluster, tmp_path: Path) -> Iterator[tuple[str, int]]:
    """An index of one package (PEP 503), on this machine as pods reach it. The node has to be this machine, too."""
    require_image(kube)
    node, *_ = kube.get("nodes")["items"]
    host = next(str(one["address"]) for one in node["status"]["addresses"] if one["type"] == "InternalIP")
    folder = tmp_path / "simple" / "tiny-tool"
    folder.mkdir(parents=True)
    wheel = make_tiny_wheel(folder)
    (folder / "index.html").write_text(f'<!DOCTYPE html><a href="{wheel.name}">{wheel.name}</a>')
    server = ThreadingHTTPServer((host, 0), partial(Quiet, directory=str(tmp_path)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield host, server.server_port
    server.shutdown()
    server.server_close()


def test_a_package_is_there_before_the_engine_starts(kube: KubeCluster, namespace: str, index: tuple[str, int]) -> None:
    host, port = index
    env = {"PIP_INDEX_URL": f"http://{host}:{port}/simple/", "PIP_TRUSTED_HOST": host}
    container = {
        "image": IMAGE,
        "prepare": {"pythonRequirements": ["tiny-tool==1.0"]},
        "env": [{"name": name, "value": value} for name, value in env.items()],
    }
    script = "tiny-tool\nexec python webui/webui_server.py --port=$PORT --model-path=SmolLM2-135M-Instruct"
    runner = Runner(kube, namespace)
    # As the runtime's own: another user than root, and nothing of its root to be written.
    runner.apply(own(script, container=container, metadata={"memory": 1000}), images={"chat-llm": IMAGE})

    runner.wait_for_line("it runs")
    wait_until(lambda: runner.status()["ready"], "the engine answers", timeout_seconds=180)

    (pod,) = runner.pods()
    (installer,) = pod["spec"]["initContainers"]
    assert installer["securityContext"]["readOnlyRootFilesystem"]
    assert installer["securityContext"]["runAsUser"] > 0
    assert any("Successfully installed tiny-tool-1.0" in line for line in runner.log("requirements").splitlines())

"""Parts are killed with -9 while services are created, updated and used: the same state comes back, once."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from deployments.clusters.local.processes import process_table, read_text
from tests.deployments.driving import tiny_document
from tests.slipway_client import PASSWORD, SlipwayClient
from tests.slipway_process import SlipwayProcess, is_gone
from tests.waiting import wait_until

pytestmark = [pytest.mark.backends, pytest.mark.supervisor, pytest.mark.timeout(300)]

#: A Redis that many share is not the supervisor's to start again.
BROKER = () if os.environ.get("TEST_REDIS_URL") else ("valkey-server",)
PARTS = ("app worker", "uvicorn", *BROKER, "app beat")
EXEC_SERVER = "exec python3 -m http.server --bind 127.0.0.1 $PORT"


@pytest.fixture(scope="module")
def slipway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SlipwayProcess]:
    running = SlipwayProcess(tmp_path_factory.mktemp("chaos") / "data", SLIPWAY_ADMIN_PASSWORD=PASSWORD)
    try:
        yield running.start()
    finally:
        running.end_everything()
        assert instance_processes(running) == [], "an instance outlived an orderly stop"


@pytest.fixture
def client(slipway: SlipwayProcess) -> Iterator[SlipwayClient]:
    own = SlipwayClient(slipway)
    slipway.wait_ready()
    yield own
    for service in own.call("GET", "/services").json()["Services"]:
        own.call("DELETE", f"/services/local/{service['ServiceName']}")
    for service in own.call("GET", "/services").json()["Services"]:
        own.wait_gone(service["ServiceName"])
    wait_until(lambda: instance_processes(slipway) == [], "no process of an instance is left")


def instance_processes(slipway: SlipwayProcess) -> list[int]:
    """Programs (not shims) that run for instances of this Slipway, by the marker in their environment."""
    marker = f"SLIPWAY_INSTANCE={slipway.data_dir}"
    return [
        row.pid
        for row in process_table()
        if not row.is_zombie
        and any(entry.startswith(marker) for entry in read_text(f"/proc/{row.pid}/environ").split("\0"))
    ]


def states(slipway: SlipwayProcess) -> list[dict[str, Any]]:
    """What the shims of instances that have not ended have written."""
    found = []
    for path in slipway.data_dir.glob("instances/*/*/state.json"):
        state = json.loads(path.read_text())
        if not state.get("ended") and not (path.parent / "stop.json").exists():
            found.append(state)
    return found


def rows(slipway: SlipwayProcess, table: str) -> int:
    ((count,),) = slipway.query(f"SELECT count(*) FROM {table}")
    return int(count)


def kill_part(slipway: SlipwayProcess, marker: str) -> None:
    pid = slipway.part(marker)
    assert pid is not None, marker
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: is_gone(pid), f"{marker} is gone")


def settle(client: SlipwayClient, name: str, instances: int = 1) -> None:
    """Running, answering, and exactly as many programs as instances."""
    client.slipway.wait_ready()
    client.wait_for(name, "Running")
    client.wait_answering(name)
    wait_until(
        lambda: len(instance_processes(client.slipway)) == instances,
        f"{instances} programs run, not {len(instance_processes(client.slipway))}",
    )


@pytest.mark.parametrize("marker", PARTS)
def test_a_part_killed_during_a_create_loses_and_doubles_nothing(
    slipway: SlipwayProcess, client: SlipwayClient, marker: str
) -> None:
    client.create(tiny_document("chaos_a", script=EXEC_SERVER))
    kill_part(slipway, marker)
    settle(client, "chaos_a")
    assert rows(slipway, "deployments_service") == 1
    assert rows(slipway, "deployments_instance") == 1


@pytest.mark.parametrize("marker", PARTS)
def test_a_part_killed_during_an_update_leaves_the_new_revision_alone(
    slipway: SlipwayProcess, client: SlipwayClient, marker: str
) -> None:
    client.create(tiny_document("chaos_a", script=EXEC_SERVER))
    settle(client, "chaos_a")
    update = tiny_document("chaos_a", script=EXEC_SERVER, cpu=1)
    assert client.call("PUT", "/services/local/chaos_a", update).status_code == 200
    kill_part(slipway, marker)
    wait_until(lambda: client.describe("chaos_a").get("CurrentVersion") == 2, "r2 serves", 60)
    settle(client, "chaos_a")


def test_a_killed_supervisor_s_instances_are_adopted_by_the_next(
    slipway: SlipwayProcess, client: SlipwayClient
) -> None:
    client.create(tiny_document("chaos_a", script=EXEC_SERVER))
    settle(client, "chaos_a")
    before = instance_processes(slipway)
    slipway.stop(signal.SIGKILL)
    assert instance_processes(slipway) == before, "instances survive"
    slipway.start()
    settle(client, "chaos_a")
    assert instance_processes(slipway) == before, "the same program, neither restarted nor doubled"


def test_a_supervisor_killed_during_a_create_has_it_done_by_the_next(
    slipway: SlipwayProcess, client: SlipwayClient
) -> None:
    client.create(tiny_document("chaos_a", script=EXEC_SERVER, instance=2))
    slipway.stop(signal.SIGKILL)
    slipway.start()
    settle(client, "chaos_a", instances=2)


def test_an_orderly_stop_ends_instances_and_the_next_start_brings_them_back(
    slipway: SlipwayProcess, client: SlipwayClient
) -> None:
    client.create(tiny_document("chaos_a", script=EXEC_SERVER))
    client.create(tiny_document("chaos_b", script=EXEC_SERVER))
    settle(client, "chaos_a", instances=2)
    client.put("chaos_b", "stop")
    client.wait_for("chaos_b", "Stopped")
    assert slipway.stop() == 0
    assert instance_processes(slipway) == []
    slipway.start()
    settle(client, "chaos_a")
    assert client.describe("chaos_b")["Status"] == "Stopped"


@pytest.mark.parametrize("victim", ["shim", "program"])
def test_a_killed_instance_comes_back_once(slipway: SlipwayProcess, client: SlipwayClient, victim: str) -> None:
    client.create(tiny_document("chaos_a", script=EXEC_SERVER))
    settle(client, "chaos_a")
    (program,) = instance_processes(slipway)
    (state,) = states(slipway)
    shim = state["shim"]["pid"] if isinstance(state.get("shim"), dict) else state["shim_pid"]
    os.kill(shim if victim == "shim" else program, signal.SIGKILL)
    wait_until(lambda: is_gone(program), "the program is gone, whichever was killed")
    settle(client, "chaos_a")
    assert instance_processes(slipway) != [program]


@pytest.mark.parametrize("marker", ["app worker", *BROKER])
def test_a_chat_goes_on_while_what_it_does_not_need_is_killed(
    slipway: SlipwayProcess, client: SlipwayClient, marker: str
) -> None:
    with streaming(client, "chaos_chat") as response:
        chunks = response.iter_bytes()
        next(chunks)
        kill_part(slipway, marker)
        text = b"".join(chunks).decode()
    assert text.rstrip().endswith("[DONE]")


def test_a_chat_whose_engine_is_killed_ends_with_an_error_frame(slipway: SlipwayProcess, client: SlipwayClient) -> None:
    with streaming(client, "chaos_chat") as response:
        chunks = response.iter_bytes()
        next(chunks)
        for pid in instance_processes(slipway):
            os.kill(pid, signal.SIGKILL)
        text = b"".join(chunks).decode()
    last = [line for line in text.splitlines() if line.startswith("data:")][-1]
    assert "error" in last, text[-500:]
    client.wait_for("chaos_chat", "Running")


def streaming(client: SlipwayClient, name: str) -> Any:
    """A long answer of the bundled model, streamed through the gateway."""
    document = {
        "metadata": {"name": name, "instance": 1, "eas.termination_grace_period": 5},
        "containers": [
            {
                "image": "chat-llm-webui:3.0",
                "script": "python api/api_server.py --port=8000 --model-path=SmolLM2-135M-Instruct --slots=2",
                "port": 8000,
            }
        ],
    }
    client.create(document)
    token = client.wait_for(name, "Running")["AccessToken"]
    question = {"role": "user", "content": "Tell a very long story about a river, with every detail."}
    request = {"model": name, "messages": [question], "max_tokens": 600, "stream": True, "ignore_eos": True}
    return httpx.stream(
        "POST",
        f"{client.slipway.address}/api/predict/{name}/v1/chat/completions",
        json=request,
        headers={"Authorization": f"Bearer {token}"},
        timeout=120,
        trust_env=False,
    )


def test_fifty_services_created_stopped_and_deleted_at_once_end_where_they_should(
    slipway: SlipwayProcess, client: SlipwayClient
) -> None:
    names = [f"many_{number:02d}" for number in range(50)]

    def all_are(status: str) -> Callable[[], bool]:
        def check() -> bool:
            services = client.call("GET", "/services?PageSize=100").json()["Services"]
            return [service["Status"] for service in services] == [status] * len(names)

        return check

    for name in names:
        client.create(tiny_document(name, script=EXEC_SERVER))
    wait_until(all_are("Running"), "all fifty run", 150)
    assert len(instance_processes(slipway)) == len(names)
    for name in names:
        client.put(name, "stop")
    wait_until(all_are("Stopped"), "all fifty are stopped", 120)
    assert instance_processes(slipway) == []
    for name in names:
        assert client.call("DELETE", f"/services/local/{name}").status_code == 200
    wait_until(lambda: client.call("GET", "/services").json()["TotalCount"] == 0, "all fifty are gone", 120)
    assert [path for path in Path(slipway.data_dir, "instances").iterdir() if not path.name.startswith(".")] == []

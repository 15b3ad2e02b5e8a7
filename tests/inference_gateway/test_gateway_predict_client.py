"""PredictClient, unchanged from PyPI, in its default and its direct mode (eas.md §2.3, sdk-wire.md §6)."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest

import tests.sdks
from deployments.encryption import encrypt, new_service_token
from deployments.group_models import TrafficState
from deployments.models import Service, ServiceGroup
from tests.inference_gateway.rig import Deployed, Server, deploy
from tests.sdks.environment import install_sdks

pytestmark = pytest.mark.timeout(400)

DISCOVERY = "/api/v1/servicediscovery/upstreams"
PROGRAM = Path(tests.sdks.__file__).with_name("predict_path.py")


def run_client(name: str, token: str, server: Server, tmp_path: Path) -> dict[str, Any]:
    """What the program printed last. It knows nothing of this machine but the address."""
    command = [str(install_sdks()), str(PROGRAM), server.url, name, token]
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    done = subprocess.run(
        command, check=False, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    seen: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return seen


def form_group(service: Deployed) -> tuple[str, str]:
    """A group with this one member: its name and token."""
    token = new_service_token()
    name = f"of_{service.row.name}"
    row = ServiceGroup.objects.create(name=name, workspace=service.row.workspace, token_encrypted=encrypt(token))
    Service.objects.filter(pk=service.row.pk).update(group=row, traffic_state=TrafficState.GROUPING)
    return name, token


@pytest.mark.parametrize("is_group", [False, True], ids=["service", "group"])
def test_every_mode_is_answered_and_who_has_no_token_is_refused(
    server: Server, runtime_port: int, tmp_path: Path, *, is_group: bool
) -> None:
    service = deploy(server, runtime_port)
    name, token = form_group(service) if is_group else (service.row.name, service.token)
    seen = run_client(name, token, server, tmp_path)
    for mode in ("default", "direct", "direct, without a scheme", "custom"):
        answer = json.loads(seen[f"{mode}: chat"])
        assert answer["response"], mode
        assert answer["history"] == [["Say größe 世界.", answer["response"]]]
        frames = [json.loads(frame) for frame in seen[f"{mode}: text"].split("\0") if frame]
        assert len(frames) > 1
        assert frames[-1]["history"][0][0] == "Say größe 世界."
        for wrong in ("wrong token", "no token"):
            code, message = seen[f"{mode}: {wrong}"]
            assert (code, "Unauthorized" in message) == (401, True), mode
    for mode in ("default", "direct"):
        assert json.loads(seen[f"{mode}: openai"])["choices"][0]["message"]["content"]
    assert seen["default: unknown"][0] == 404
    assert seen["direct: unknown"] == [500, "Get service backend timeout"]  # the client's own words


def test_discovery_names_the_gateway_that_was_reached_without_a_token(server: Server, runtime_port: int) -> None:
    service = deploy(server, runtime_port)
    for query in ("", "?internal=true"):
        answer = httpx.get(f"{server.url}{DISCOVERY}/{service.row.name}{query}")
        items = answer.json()["endpoints"]["items"]
        assert (answer.status_code, items) == (200, [{"ip": "127.0.0.1", "port": server.port, "weight": 100}])
    named = httpx.get(f"{server.url}{DISCOVERY}/{service.row.name}", headers={"Host": "models.example"})
    assert named.json()["endpoints"]["items"] == [{"ip": "models.example", "port": 80, "weight": 100}]
    for odd in ("a b", "x@y", "a/b:1", "[::1", ""):
        strange = httpx.get(f"{server.url}{DISCOVERY}/{service.row.name}", headers={"Host": odd})
        assert strange.status_code in (200, 400)
        if strange.status_code == 200:
            assert strange.json()["endpoints"]["items"][0]["ip"] == "127.0.0.1", odd


def test_discovery_lists_nothing_until_an_instance_is_ready(server: Server) -> None:
    service = deploy(server)
    assert httpx.get(f"{server.url}{DISCOVERY}/{service.row.name}").json() == {"endpoints": {"items": []}}


def test_discovery_of_nothing_is_404_and_of_a_wrong_method_405(server: Server) -> None:
    unknown = httpx.get(f"{server.url}{DISCOVERY}/nobody_here")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "service_not_found")
    assert httpx.get(f"{server.url}{DISCOVERY}/a/b").status_code == 404
    assert httpx.post(f"{server.url}{DISCOVERY}/nobody_here").status_code == 405

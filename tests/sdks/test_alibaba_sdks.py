"""Alibaba's two SDKs, unchanged from PyPI, against a real Slipway; what is forged on the wire is refused."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from console.environment import REPOSITORY
from tests.deployments.driving import tiny_document
from tests.sdks.environment import install_sdks
from tests.signing import acs3_headers, roa_headers
from tests.slipway_client import PASSWORD
from tests.slipway_process import SlipwayProcess

pytestmark = [pytest.mark.supervisor, pytest.mark.timeout(400)]

SAYING_HELLO = "echo hello from the program; exec python3 -m http.server --bind 127.0.0.1 $PORT"
Key = tuple[str, str]


@pytest.fixture(scope="module")
def sdk_python() -> Path:
    """A Python with the SDKs as the lock file has them."""
    return install_sdks()


@pytest.fixture(scope="module")
def slipway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SlipwayProcess]:
    running = SlipwayProcess(tmp_path_factory.mktemp("sdks") / "data", SLIPWAY_ADMIN_PASSWORD=PASSWORD)
    try:
        yield running.start()
    finally:
        running.end_everything()


@pytest.fixture(scope="module")
def key(slipway: SlipwayProcess) -> Key:
    """The administrator's access key: id and secret."""
    answer = httpx.post(
        f"{slipway.address}/api/v2/access-keys",
        json={"Name": "sdks", "ExpiresInDays": 1},
        auth=("admin", PASSWORD),
        trust_env=False,
    )
    assert answer.status_code == 201, answer.text
    return answer.json()["AccessKeyId"], answer.json()["AccessKeySecret"]


def run_program(python: Path, slipway: SlipwayProcess, key: Key, *arguments: str) -> str:
    """What a program of Alibaba's users prints. It knows this Slipway, its key and nothing else of the machine."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(slipway.data_dir.parent),
        "ALIBABA_CLOUD_ECS_METADATA_DISABLED": "true",
        "ACCESS_KEY_ID": key[0],
        "ACCESS_KEY_SECRET": key[1],
        "ENDPOINT": f"127.0.0.1:{slipway.port}",
    }
    done = subprocess.run(
        [str(python), *arguments],
        check=False,
        env=environment,
        cwd=slipway.data_dir.parent,
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return done.stdout


def run_path(python: Path, slipway: SlipwayProcess, key: Key, name: str, argument: str) -> dict[str, Any]:
    """The object that one of the programs beside this file prints last."""
    program = str(Path(__file__).with_name(name))
    seen: dict[str, Any] = json.loads(run_program(python, slipway, key, program, argument).splitlines()[-1])
    return seen


@pytest.fixture(scope="module")
def openapi(sdk_python: Path, slipway: SlipwayProcess, key: Key) -> dict[str, Any]:
    """What the OpenAPI SDK saw of a service's life."""
    document = tiny_document("sdk_openapi", script=SAYING_HELLO)
    return run_path(sdk_python, slipway, key, "openapi_path.py", json.dumps(document))


def test_a_service_s_life_through_the_openapi_sdk(openapi: dict[str, Any]) -> None:
    seen = openapi
    assert seen["create"]["ServiceName"] == "sdk_openapi"
    assert seen["running"]["Labels"] == [{"LabelKey": "team", "LabelValue": "a b*ü"}]
    assert seen["running"]["AccessToken"]
    for algorithm in ("ACS3-HMAC-SHA256", "ACS3-HMAC-SM3", "v2"):
        assert seen[f"list {algorithm}"] == ["sdk_openapi"]
    assert (seen["scheme"], seen["async"], seen["async list"]) == ("Running", "Running", 1)
    assert seen["instances"]["Instances"][0]["Status"] == "Running"
    assert seen["versions"] == [2, 1]
    assert seen["update"].startswith("Updating ")
    assert seen["switch"].startswith("Switching ")
    assert seen["stop"].startswith("Stopping ")
    assert seen["start"].startswith("Starting ")
    assert seen["delete"].startswith("Deleting ")
    assert "hello from the program" in "\n".join(seen["logs"]["Logs"])
    assert {"Created", "Updating", "Stopped"} <= {event["Reason"] for event in seen["events"]["Events"]}


def test_a_group_s_life_through_the_openapi_sdk(openapi: dict[str, Any], slipway: SlipwayProcess) -> None:
    seen = openapi
    assert [one["Name"] for one in seen["groups"]["Groups"]] == ["sdk_group"]
    assert (seen["groups"]["TotalCount"], seen["groups"]["PageSize"]) == (1, 5)
    before, after, endpoints = seen["group before"], seen["group after"], seen["group endpoints"]
    assert (before["TrafficMode"], before["ClusterId"]) == ("auto", "local")
    assert after["TrafficMode"] == "customized"
    assert after["UpdateTime"] >= before["UpdateTime"] >= before["CreateTime"]
    assert seen["group update"].startswith("Updating group [sdk_group]")
    assert seen["release"].startswith("Releasing service [sdk_openapi] in region [local] with weight [40]")
    member = seen["member"]
    assert (member["ServiceGroup"], member["Weight"], member["TrafficState"]) == ("sdk_group", 40, "grouping")
    assert endpoints["AccessToken"] == before["AccessToken"] != member["AccessToken"]
    address = f"http://127.0.0.1:{slipway.port}/api/predict/sdk_group"
    assert endpoints["Endpoints"][0]["InternetEndpoints"] == [address] == [after["InternetEndpoint"]]
    assert (seen["unknown group"], seen["groups at last"]) == ("GroupNotFound", 0)


def test_the_openapi_sdk_raises_the_codes_of_refusals(openapi: dict[str, Any]) -> None:
    seen = openapi
    assert seen["encoded"] == "NotFound"  # the signature of an encoded path is right; there is no such path
    assert seen["unknown service"] == seen["gone"] == "ServiceNotFound"
    assert seen["wrong secret"] == "SignatureDoesNotMatch"
    assert seen["wrong id"] == "InvalidAccessKeyId.NotFound"


def test_a_service_s_life_through_alipai(sdk_python: Path, slipway: SlipwayProcess, key: Key) -> None:
    seen = run_path(sdk_python, slipway, key, "alipai_path.py", SAYING_HELLO)
    assert (seen["status"], seen["stopped"], seen["started"]) == ("Running", "Stopped", "Running")
    assert seen["answer"] == 200
    assert seen["list"] == ["sdk_alipai"]
    assert seen["versions"] == [2, 1]
    assert "hello from the program" in "\n".join(seen["logs"]["Logs"])
    assert {"Created", "Updating", "Stopped"} <= {event["Reason"] for event in seen["events"]["Events"]}
    assert seen["gone"]


def test_the_documentation_s_programs_run_as_they_are_pasted(
    sdk_python: Path, slipway: SlipwayProcess, key: Key
) -> None:
    text = (REPOSITORY / "docs" / "rest.md").read_text()
    programs = [one for one in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "alibabacloud" in one]
    assert len(programs) == 2
    for program in programs:
        run_program(sdk_python, slipway, key, "-c", program.replace("127.0.0.1:8000", f"127.0.0.1:{slipway.port}"))


def test_forgeries_on_the_wire_are_refused(slipway: SlipwayProcess, key: Key) -> None:
    path, host = "/api/v2/services", f"127.0.0.1:{slipway.port}"

    def send(method: str, headers: dict[str, str], body: bytes = b"", at: str = path) -> str:
        answer = httpx.request(method, slipway.address + at, headers=headers, content=body, trust_env=False)
        return "" if answer.status_code < 400 else str(answer.json()["Code"])

    fresh = acs3_headers(key, "GET", path, host=host)
    assert send("GET", fresh) == ""
    assert send("GET", fresh) == "SignatureNonceUsed"
    old = datetime.now(UTC) - timedelta(minutes=16)
    assert send("GET", acs3_headers(key, "GET", path, host=host, at=old)) == "InvalidTimeStamp.Expired"
    assert send("GET", {**roa_headers(key, "GET", path, at=old)}) == "InvalidTimeStamp.Expired"
    signed = acs3_headers(key, "POST", path, host=host, body=json.dumps(tiny_document("honest")).encode())
    assert send("POST", signed, json.dumps(tiny_document("forged")).encode()) == "SignatureDoesNotMatch"
    assert send("GET", acs3_headers((key[0], "x" * 30), "GET", path, host=host)) == "SignatureDoesNotMatch"
    # An encoded slash is part of a name, not of the path: whoever moves it breaks the signature.
    inside = acs3_headers(key, "GET", f"{path}/local%2Fchat", host=host)
    assert send("GET", inside, at=f"{path}/local/chat") == "SignatureDoesNotMatch"


def test_a_restart_of_everything_lets_no_old_request_in_again(slipway: SlipwayProcess, key: Key) -> None:
    path = "/api/v2/me"
    headers = acs3_headers(key, "GET", path, host=f"127.0.0.1:{slipway.port}")
    assert httpx.get(slipway.address + path, headers=headers, trust_env=False).status_code == 200
    assert slipway.stop() == 0
    slipway.start()
    again = httpx.get(slipway.address + path, headers=headers, trust_env=False)
    assert again.json()["Code"] == "SignatureNonceUsed"

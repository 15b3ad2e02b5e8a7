"""The REST control plane of a whole Slipway: real server, real worker, real processes."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.deployments.driving import tiny_document
from tests.slipway_process import SlipwayProcess
from tests.waiting import wait_until, wait_until_async

pytestmark = [pytest.mark.backends, pytest.mark.supervisor, pytest.mark.timeout(400)]
AUTH = ("admin", "a long enough secret")
FIFTY = 50


@pytest.fixture(scope="module")
def slipway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SlipwayProcess]:
    running = SlipwayProcess(tmp_path_factory.mktemp("rest") / "data", SLIPWAY_ADMIN_PASSWORD=AUTH[1])
    try:
        yield running.start()
    finally:
        running.end_everything()


@pytest.fixture
def http(slipway: SlipwayProcess) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"{slipway.address}/api/v2", auth=AUTH, timeout=30, trust_env=False) as client:
        yield client


def exchange(slipway: SlipwayProcess, request: bytes) -> tuple[int, dict[str, Any]]:
    """Send these very bytes; status and JSON of the answer."""
    with socket.create_connection(("127.0.0.1", slipway.port), timeout=20) as connection:
        connection.sendall(request)
        raw = b""
        while chunk := connection.recv(65536):
            raw += chunk
    head, _, body = raw.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)


def raw_request(method: str, path: str, headers: str = "", body: bytes = b"") -> bytes:
    basic = httpx.BasicAuth(*AUTH)._auth_header
    lines = (
        f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: {basic}\r\n{headers}\r\n"
    )
    return lines.encode("latin-1") + body


@pytest.mark.parametrize("path", ["%", "%zz", "%ff", "%00", "a%2fb", "..", "%2e%2e", "a%0d%0ab", "chat?x=%ff%00"])
def test_broken_escapes_in_a_path_are_404_in_eas_s_shape(slipway: SlipwayProcess, path: str) -> None:
    status, answer = exchange(slipway, raw_request("GET", f"/api/v2/services/local/{path}"))
    assert status == 404
    assert set(answer) == {"RequestId", "Code", "Message"}


def test_an_empty_put_without_type_or_as_octets_is_no_415(slipway: SlipwayProcess, http: httpx.Client) -> None:
    http.post("services", json=tiny_document("empty_put"))
    path = "/api/v2/services/local/empty_put/stop"
    for headers in ("Content-Length: 0\r\n", "Content-Length: 0\r\nContent-Type: application/octet-stream\r\n", ""):
        assert exchange(slipway, raw_request("PUT", path, headers))[0] == 200
    assert http.delete("services/local/empty_put").status_code == 200


def test_a_chunked_body_is_read(slipway: SlipwayProcess, http: httpx.Client) -> None:
    document = json.dumps(tiny_document("chunked")).encode()
    answer = http.post("services", content=iter([document[:20], document[20:]]))
    assert answer.status_code == 201
    assert answer.headers["x-request-id"] == answer.json()["RequestId"]
    http.delete("services/local/chunked")


def test_a_body_over_the_limit_is_413_on_the_wire(http: httpx.Client) -> None:
    answer = http.post("services", content=b" " * 5_000_000)
    assert (answer.status_code, answer.json()["Code"]) == (413, "BodyTooLarge")


def test_endpoints_carry_the_address_the_caller_used(slipway: SlipwayProcess, http: httpx.Client) -> None:
    answer = http.post("services", json=tiny_document("addressed")).json()
    assert answer["InternetEndpoint"] == f"{slipway.address}/api/predict/addressed"
    http.delete("services/local/addressed")


async def test_fifty_services_at_once_all_end_where_they_should(slipway: SlipwayProcess) -> None:
    names = [f"many_{number:02d}" for number in range(FIFTY)]
    client = httpx.AsyncClient(
        base_url=f"{slipway.address}/api/v2", auth=AUTH, timeout=60, trust_env=False,
        limits=httpx.Limits(max_connections=FIFTY),
    )  # fmt: skip

    async def statuses() -> dict[str, str]:
        page = (await client.get("services", params={"Filter": "many_", "PageSize": "1000"})).json()
        return {one["ServiceName"]: one["Status"] for one in page["Services"]}

    async def all_are(status: str, seconds: float) -> None:
        seen: dict[str, str] = {}

        async def so() -> bool:
            seen.clear()
            seen.update(await statuses())
            assert "Failed" not in seen.values(), seen
            return set(seen) == set(names) and set(seen.values()) == {status}

        try:
            await wait_until_async(so, f"all are {status}", seconds)
        except AssertionError as late:
            raise AssertionError(f"{late}: {seen}") from None

    async with client:
        created = await asyncio.gather(*(client.post("services", json=tiny_document(name)) for name in names))
        assert [answer.status_code for answer in created] == [201] * FIFTY
        await all_are("Running", 120)
        instances = await asyncio.gather(*(client.get(f"services/local/{name}/instances") for name in names))
        ports = [answer.json()["Instances"][0]["InstancePort"] for answer in instances]
        assert len(set(ports)) == FIFTY
        again = await asyncio.gather(*(client.post("services", json=tiny_document(name)) for name in names[:5]))
        assert [answer.status_code for answer in again] == [409] * 5
        stopped = await asyncio.gather(*(client.put(f"services/local/{name}/stop") for name in names))
        assert [answer.status_code for answer in stopped] == [200] * FIFTY
        await all_are("Stopped", 120)
        deleted = await asyncio.gather(*(client.delete(f"services/local/{name}") for name in names))
        assert [answer.status_code for answer in deleted] == [200] * FIFTY

        async def none_left() -> bool:
            return not await statuses()

        await wait_until_async(none_left, "no service is left", 120)
    folders = slipway.data_dir / "instances"
    wait_until(lambda: not [one for one in folders.iterdir() if one.is_dir()], "no folder is left", 60)

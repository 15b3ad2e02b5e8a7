"""A program that uses Slipway over REST and the gateway, for tests of the whole."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import httpx

from tests.slipway_process import SlipwayProcess
from tests.waiting import wait_until

PASSWORD = "correct-horse-battery"


class RestClient:
    """REST as the administrator; every call retries while the server is restarted, as a patient program would."""

    def __init__(self, address: str, password: str = PASSWORD) -> None:
        #: Where services are called.
        self.address = address
        self.http = httpx.Client(
            base_url=address, auth=("admin", password), timeout=httpx.Timeout(60, connect=10), trust_env=False
        )

    def call(self, method: str, path: str, json: Any = None, *, patience_seconds: float = 30.0) -> httpx.Response:
        deadline = time.monotonic() + patience_seconds
        while True:
            try:
                return self.http.request(method, f"/api/v2{path}", json=json)
            except httpx.TransportError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)

    def create(self, document: dict[str, Any]) -> None:
        """Create the service; a repeat after a lost answer finds the name taken by the first try."""
        answer = self.call("POST", "/services", document)
        assert answer.status_code in (201, 409), answer.text

    def describe(self, name: str) -> dict[str, Any]:
        answer = self.call("GET", f"/services/local/{name}")
        return dict(answer.json()) if answer.status_code == 200 else {}

    def wait_for(self, name: str, status: str, timeout_seconds: float = 60.0) -> dict[str, Any]:
        """Wait until the service has this status; returns the description."""
        seen: dict[str, Any] = {}

        def has_status() -> bool:
            seen.clear()
            seen.update(self.describe(name))
            return seen.get("Status") == status

        try:
            wait_until(has_status, f"{name} is {status}", timeout_seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}; {seen.get('Status')}: {seen.get('Message')}") from None
        return dict(seen)

    def wait_gone(self, name: str, timeout_seconds: float = 60.0) -> None:
        wait_until(lambda: not self.describe(name), f"{name} is gone", timeout_seconds)

    def put(self, name: str, verb: str, json: Any = None) -> None:
        answer = self.call("PUT", f"/services/local/{name}/{verb}", json)
        assert answer.status_code == 200, answer.text

    def predict(self, name: str, path: str = "/") -> httpx.Response:
        """One request through the gateway with the service's token."""
        token = self.describe(name)["AccessToken"]
        headers = {"Authorization": token}
        return httpx.get(f"{self.address}/api/predict/{name}{path}", headers=headers, timeout=30, trust_env=False)

    def wait_answering(self, name: str, check: Callable[[httpx.Response], bool] | None = None) -> None:
        """Wait until a request through the gateway is answered with 200."""

        def answers() -> bool:
            try:
                response = self.predict(name)
            except (httpx.TransportError, KeyError):
                return False
            return response.status_code == 200 and (check is None or check(response))

        wait_until(answers, f"{name} answers through the gateway", 60)


class SlipwayClient(RestClient):
    """Of a Slipway whose processes the test has in hand."""

    def __init__(self, slipway: SlipwayProcess) -> None:
        super().__init__(slipway.address)
        self.slipway = slipway

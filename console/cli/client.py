"""The REST control plane over HTTP, with its errors as sentences (docs/rest.md)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlsplit

import httpx

from console.cli.errors import CliError, ExitCode
from console.cli.profiles import Profile

PAGE_SIZE = 1000
#: The region of every Slipway that says nothing else; another one is found out by asking.
USUAL_REGION = "local"


class Client:
    """One Slipway, asked as one person. Answers are the bodies without ``RequestId``; errors are ``CliError``."""

    def __init__(self, profile: Profile, *, timeout_seconds: float = 60.0) -> None:
        self.profile = profile
        self._region = profile.region
        self.request_id = ""
        self._http = open_http(profile.url, timeout_seconds)
        self._http.headers["Authorization"] = f"Bearer {profile.token}"

    def close(self) -> None:
        """Give back the connections."""
        self._http.close()

    def call(
        self, method: str, path: str, *, query: Mapping[str, Any] | None = None, body: Any = None
    ) -> dict[str, Any]:
        """One request below ``/api/v2``. ``request_id`` is the answer's afterwards."""
        wanted = {key: value for key, value in (query or {}).items() if value not in (None, "")}
        try:
            answer = self._http.request(
                method,
                f"{self.profile.url}/api/v2{path}",
                params=wanted,
                content=None if body is None else json.dumps(body).encode(),
                headers={"Content-Type": "application/json"} if body is not None else None,
            )
        except httpx.TransportError as error:
            raise unreachable(self.profile.url, error) from error
        try:
            found = read_answer(answer, self.profile.url)
        except CliError as error:
            if answer.status_code == 401:
                error.message += " Run slipway config to sign in again."
            raise
        self.request_id = str(found.pop("RequestId", ""))
        return found

    def service(
        self,
        method: str,
        name: str,
        tail: str = "",
        *,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
    ) -> dict[str, Any]:
        """One request about a service. ``name`` may be ``region/name``, as eascmd takes it."""
        region, _, bare = name.rpartition("/")
        path = f"/{quote(bare, safe='')}{tail}"
        try:
            return self.call(
                method, f"/services/{region or self._region or USUAL_REGION}{path}", query=query, body=body
            )
        except CliError as error:
            if error.code != "ClusterNotFound" or region or self._region:
                raise
        self._region = self._ask_region(bare)
        return self.call(method, f"/services/{self._region}{path}", query=query, body=body)

    def describe(self, name: str) -> dict[str, Any]:
        """A service as REST describes it."""
        return self.service("GET", name)

    def find(self, name: str) -> dict[str, Any] | None:
        """The same, None where there is no such service."""
        try:
            return self.describe(name)
        except CliError as error:
            if error.code != "ServiceNotFound":
                raise
            return None

    def services(self, **query: Any) -> list[dict[str, Any]]:
        """All services that the parameters let through, whatever number of pages they are."""
        return self._all_pages(lambda page: self.call("GET", "/services", query=query | page), "Services")

    def service_list(self, name: str, kind: str, **query: Any) -> list[dict[str, Any]]:
        """All of a service's ``Instances`` or ``Versions``."""
        tail = f"/{kind.lower()}"
        return self._all_pages(lambda page: self.service("GET", name, tail, query=query | page), kind)

    def events(self, name: str, count: int, **query: Any) -> list[dict[str, Any]]:
        """The last events, oldest first."""
        found = self.service("GET", name, "/events", query=query | {"PageSize": min(count, PAGE_SIZE)})
        return list(reversed(found["Events"]))

    def _ask_region(self, name: str) -> str:
        found = self.call("GET", "/services", query={"PageSize": 1})["Services"]
        if not found:
            raise CliError(f"There is no service {name}: there are none at all that you may see.", "ServiceNotFound")
        return str(found[0]["Region"])

    @staticmethod
    def _all_pages(ask: Any, key: str) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        number = 1
        while True:
            answer = ask({"PageNumber": number, "PageSize": PAGE_SIZE})
            rows += answer[key]
            if len(answer[key]) < PAGE_SIZE or len(rows) >= answer["TotalCount"]:
                return rows
            number += 1


def open_http(url: str, timeout_seconds: float) -> httpx.Client:
    """Connections to one address. A proxy of the environment is not asked for this very machine."""
    is_here = urlsplit(url).hostname in {"localhost", "127.0.0.1", "::1"}
    return httpx.Client(timeout=httpx.Timeout(timeout_seconds, connect=10), trust_env=not is_here)


def make_token(url: str, user: str, password: str, name: str) -> str:
    """Sign in with a password, once, and make a personal token: the password is kept nowhere."""
    with open_http(url, 60) as http:
        try:
            answer = http.post(f"{url}/api/v2/tokens", auth=(user, password), json={"Name": name})
        except httpx.TransportError as error:
            raise unreachable(url, error) from error
        return str(read_answer(answer, url)["Token"])


def read_answer(answer: httpx.Response, url: str) -> dict[str, Any]:
    """The body's object. Raises ``CliError`` with the server's sentence and code for an error's status."""
    try:
        found = answer.json()
    except ValueError:
        found = None
    if not isinstance(found, dict) or (answer.is_success and "RequestId" not in found):
        raise CliError(
            f"{url} answers {answer.status_code}, but not as Slipway does. Check the address.",
            "not_slipway",
            ExitCode.UNREACHABLE,
        )
    if answer.is_success:
        return found
    code, message = str(found.get("Code", answer.status_code)), str(found.get("Message", answer.reason_phrase))
    fields = [str(one.get("Field")) for one in found.get("Errors", []) if one.get("Field")]
    raise CliError(message, code, fields=tuple(field for field in dict.fromkeys(fields) if field not in message))


def unreachable(url: str, error: httpx.TransportError) -> CliError:
    """Nobody answers at the address."""
    why = str(error) or type(error).__name__
    return CliError(
        f"{url} does not answer: {why}. Is Slipway running there, and is the address right?",
        "unreachable",
        ExitCode.UNREACHABLE,
    )

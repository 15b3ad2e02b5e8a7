"""A whole Slipway shows its secrets in no task, in no log and not in Redis. Fault 40 of gateway.md §5.3."""

from __future__ import annotations

import base64
import binascii
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis

from tests.deployments.driving import TINY_SERVER, tiny_document
from tests.slipway_client import PASSWORD
from tests.slipway_process import SlipwayProcess
from tests.waiting import wait_until

pytestmark = [pytest.mark.supervisor, pytest.mark.timeout(400)]
VARIABLE = "canary-of-a-variable-5f1c"
QUESTION = "canary-of-a-question-77ab"
ENCODED = re.compile(r"[A-Za-z0-9+/_-]{12,}={0,2}")


class Overheard:
    """Every command that Redis was given, with what is encoded in it beside."""

    def __init__(self) -> None:
        self.commands: list[str] = []

    @property
    def text(self) -> str:
        return "\n".join(command + "\n" + "\n".join(decode_all(command)) for command in tuple(self.commands))


def decode_all(text: str) -> Iterator[str]:
    """Whatever base64 there is: Celery's messages have their arguments in it."""
    for found in ENCODED.findall(text):
        padded = found.rstrip("=") + "=" * (-len(found.rstrip("=")) % 4)
        try:
            yield base64.b64decode(padded, b"-_" if "-" in found or "_" in found else None).decode()
        except (binascii.Error, UnicodeDecodeError):
            continue


@contextmanager
def overhearing(socket: Path) -> Iterator[Overheard]:
    overheard, is_over = Overheard(), threading.Event()

    def listen() -> None:
        with redis.Redis(unix_socket_path=str(socket)) as client, client.monitor() as monitor:
            while not is_over.is_set():
                overheard.commands.append(str(monitor.next_command()["command"]))

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    try:
        wait_until(lambda: overheard.commands, "Redis is overheard", 20)
        yield overheard
    finally:
        is_over.set()
        thread.join(20)


class Person:
    """Talks REST and the gateway. ``secrets`` is all that nobody else may ever see."""

    def __init__(self, slipway: SlipwayProcess) -> None:
        self._client = httpx.Client(base_url=slipway.address, auth=("admin", PASSWORD), trust_env=False, timeout=60)
        self.secrets: dict[str, str] = {"password": PASSWORD, "variable": VARIABLE}

    def ask(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        answer = self._client.request(method, f"/api/v2/{path}", json=body)
        assert answer.status_code < 300, answer.text
        told: dict[str, Any] = answer.json()
        return told

    def keep(self, name: str, field: str, method: str, path: str, body: Any = None) -> str:
        self.secrets[name] = str(self.ask(method, path, body)[field])
        return self.secrets[name]

    def call(self, service: str, token: str) -> int:
        body = {"messages": [{"role": "user", "content": QUESTION}], "model": service}
        headers = {"Authorization": token}
        return httpx.post(
            f"{self._client.base_url}/v1/chat/completions", json=body, headers=headers, timeout=60
        ).status_code


def live(person: Person) -> None:
    """Make every kind of secret, use each, and have things fail with them around."""
    for name, script in (("harbour", TINY_SERVER), ("broken", "exit 3"), ("lost", "no-such-program")):
        document = tiny_document(name, script)
        document["containers"][0]["env"] = [{"name": "HF_TOKEN", "value": VARIABLE}]
        person.ask("POST", "services", document)
        person.secrets[f"token of {name}"] = person.ask("GET", f"services/local/{name}")["AccessToken"]
        person.keep(f"new token of {name}", "AccessToken", "POST", f"services/local/{name}/token")
    key = person.keep("API key", "ApiKeySecret", "POST", "api-keys", {"Name": "x", "WorkspaceId": "default"})
    personal = person.keep("personal token", "Token", "POST", "tokens", {"Name": "x", "ExpiresInDays": 1})
    person.keep("access key", "AccessKeySecret", "POST", "access-keys", {"Name": "x", "ExpiresInDays": 1})
    person.keep("one-time password", "OneTimePassword", "POST", "people", {"UserName": "li"})
    wait_until(lambda: person.ask("GET", "services/local/harbour")["Status"] == "Running", "it runs", 60)
    wait_until(lambda: person.ask("GET", "services/local/broken")["Status"] == "Failed", "it has failed", 120)
    for name in ("harbour", "broken", "lost"):
        for token in (person.secrets[f"token of {name}"], person.secrets[f"new token of {name}"], key, personal):
            person.call(name, token)
    person.ask("PUT", "services/local/harbour/restart")
    person.ask("PUT", "services/local/harbour/scale", {"Instances": 2})
    person.ask("DELETE", "services/local/lost")


def test_no_secret_is_in_a_task_in_redis_or_in_a_log(tmp_path: Path) -> None:
    slipway = SlipwayProcess(
        tmp_path / "data", is_embedded=True, SLIPWAY_ADMIN_PASSWORD=PASSWORD, SLIPWAY_ACCESS_LOG="on"
    )
    try:
        slipway.start()
        with overhearing(slipway.data_dir / "valkey.sock") as overheard:
            person = Person(slipway)
            live(person)

            def is_gone() -> bool:
                names = [one["ServiceName"] for one in person.ask("GET", "services")["Services"]]
                return "lost" not in names

            wait_until(is_gone, "a service is deleted", 60)
        heard = overheard.text
    finally:
        slipway.end_everything()
    tasks = "\n".join(line for line in heard.splitlines() if "slipway:celery:" in line or '"callbacks"' in line)
    for task in ("deployments.tasks.sweep", "deployments.tasks.look_where_asked"):
        assert task in tasks
    assert '"callbacks"' in tasks  # what a message's body decodes to: the arguments were read
    logs = slipway.output + "".join(
        path.read_text(errors="replace") for path in slipway.data_dir.rglob("*.log") if path.is_file()
    )
    assert "harbour" in logs
    assert len(set(person.secrets.values())) == len(person.secrets) == 12
    for name, secret in person.secrets.items():
        shapes = (secret, json.dumps(secret)[1:-1], base64.b64encode(secret.encode()).decode().rstrip("="))
        for shape in shapes:
            assert shape not in heard, f"{name} in Redis"
            assert shape not in logs, f"{name} in a log"
    assert QUESTION not in tasks
    assert QUESTION not in logs

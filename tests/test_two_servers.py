"""Two servers, two workers and two beats on one PostgreSQL and one Redis: nothing is lost and nothing doubled."""

from __future__ import annotations

import re
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from websockets import Origin
from websockets.sync.client import connect

from deployments.clusters.local import stop_all
from deployments.clusters.local.processes import process_table, read_text
from tests.deployments.driving import tiny_document
from tests.inference_gateway.webchat_client import Page
from tests.parts import Part, prepare
from tests.postgres import temporary_postgres
from tests.programs import require_program
from tests.shared_backends import temporary_redis
from tests.slipway_client import PASSWORD
from tests.static_files import build_static_files
from tests.waiting import wait_until

pytestmark = [pytest.mark.postgresql, pytest.mark.supervisor, pytest.mark.timeout(600)]

SERVICES = 8
SERVER = "exec python3 -m http.server --bind 127.0.0.1 $PORT"
MODEL = "python webui/webui_server.py --port=8000 --model-path=SmolLM2-135M-Instruct --slots=2 --context=2048"


class Machine:
    """Everything of one Slipway that runs as parts; ``servers`` are two."""

    def __init__(self, folder: Path, database_url: str, redis_url: str) -> None:
        self.data_dir = folder / "data"
        self.data_dir.mkdir(mode=0o700)
        self.database_url = database_url
        variables = {
            "SLIPWAY_DATA_DIR": str(self.data_dir),
            "DATABASE_URL": database_url,
            "REDIS_URL": redis_url,
            "SLIPWAY_SECRET_KEY": "two-servers-of-one-slipway-" + uuid.uuid4().hex,
        }
        prepare({**variables, "SLIPWAY_ADMIN_PASSWORD": PASSWORD})
        kinds = ("server", "worker", "beat")
        self.parts = {
            f"{kind}_{letter}": Part(kind, folder / f"{kind}_{letter}.log", variables)
            for letter in "ab"
            for kind in kinds
        }
        self.servers = (self.parts["server_a"], self.parts["server_b"])

    def start(self) -> None:
        for part in self.parts.values():
            part.start()

    def end(self) -> None:
        for part in self.parts.values():
            part.stop()
        stop_all(self.data_dir, 5)

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.database_url) as connection:
            return connection.execute(query, values).fetchall()

    def call(self, server: int, method: str, path: str, document: Any = None) -> httpx.Response:
        """REST at one of the servers, and again while that is started anew."""
        deadline = time.monotonic() + 60
        while True:
            try:
                url = f"{self.servers[server].url}/api/v2{path}"
                answer = httpx.request(
                    method, url, json=document, auth=("admin", PASSWORD), timeout=60, trust_env=False
                )
                if answer.status_code < 500:
                    return answer
            except httpx.TransportError:
                pass
            assert time.monotonic() < deadline, f"{method} {path} had no answer"
            time.sleep(0.2)

    def describe(self, name: str, server: int = 0) -> dict[str, Any]:
        answer = self.call(server, "GET", f"/services/local/{name}")
        return dict(answer.json()) if answer.status_code == 200 else {}

    def wait_for(self, name: str, status: str, seconds: float = 120) -> dict[str, Any]:
        def look() -> dict[str, Any] | None:
            seen = self.describe(name, server=1)
            return seen if seen.get("Status") == status else None

        return wait_until(look, f"{name} is {status}", seconds)

    def programs(self) -> Counter[str]:
        """How many programs run for each service's uid, without shims."""
        begin = f"SLIPWAY_INSTANCE={self.data_dir}/instances/"
        found: Counter[str] = Counter()
        for row in process_table():
            if not row.is_zombie:
                for entry in read_text(f"/proc/{row.pid}/environ").split("\0"):
                    if entry.startswith(begin):
                        found[entry.removeprefix(begin).partition("/")[0]] += 1
        return found


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """Runs on servers of its own, for it is about what they are asked at the same time."""
    folder = tmp_path_factory.mktemp("two")
    with ExitStack() as stack:
        database = stack.enter_context(temporary_postgres(require_program("postgresql")))
        broker = stack.enter_context(temporary_redis())
        build_static_files(folder)
        made = Machine(folder, database, broker)
        stack.callback(made.end)
        made.start()
        yield made


class Watcher:
    """Counts programs all the time, and keeps the most that were seen of each service."""

    def __init__(self, machine: Machine) -> None:
        self.most: Counter[str] = Counter()
        self._machine = machine
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Watcher:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join(10)

    def _watch(self) -> None:
        while not self._is_over.wait(0.2):
            for uid, count in self._machine.programs().items():
                self.most[uid] = max(self.most[uid], count)


def both(machine: Machine, method: str, path: str, document: Any = None) -> list[httpx.Response]:
    """The same act at both servers at the same moment."""
    with ThreadPoolExecutor(2) as pool:
        asking = [pool.submit(machine.call, server, method, path, document) for server in (0, 1)]
        return [future.result(timeout=120) for future in asking]


def test_services_changed_from_both_while_parts_are_killed_end_where_they_should(machine: Machine) -> None:
    names = [f"two_{number}" for number in range(SERVICES)]
    with Watcher(machine) as watcher:
        for name in names:
            created = both(machine, "POST", "/services", tiny_document(name, script=SERVER))
            assert sorted(answer.status_code for answer in created) == [201, 409], [one.text for one in created]
        machine.parts["worker_a"].kill()
        machine.parts["server_a"].kill()
        machine.parts["server_a"].start()
        for name in names:
            document = tiny_document(name, script=SERVER, cpu=1)
            updated = both(machine, "PUT", f"/services/local/{name}", document)
            assert [answer.status_code for answer in updated] == [200, 200], [one.text for one in updated]
        machine.parts["worker_a"].start()
        machine.parts["worker_b"].kill()
        machine.parts["beat_a"].kill()
        for name in names[:2]:
            both(machine, "PUT", f"/services/local/{name}", tiny_document(name, script=SERVER, cpu=1, instance=2))
        for name in names[2:4]:
            both(machine, "PUT", f"/services/local/{name}/stop")
        for name in names[4:6]:
            assert {answer.status_code for answer in both(machine, "DELETE", f"/services/local/{name}")} <= {200, 404}
        machine.parts["worker_b"].start()
        wanted = {**dict.fromkeys(names[:2], 2), **dict.fromkeys(names[2:4], 0), **dict.fromkeys(names[6:], 1)}
        for name, instances in wanted.items():
            machine.wait_for(name, "Running" if instances else "Stopped")
        wait_until(lambda: not any(map(machine.describe, names[4:6])), "the deleted ones are gone", 60)
        uids = {name: str(uid) for name, uid in machine.rows("SELECT name, uid FROM deployments_service")}
        exact = Counter({uids[name]: count for name, count in wanted.items() if count})
        wait_until(lambda: machine.programs() == exact, f"programs as wanted, not {machine.programs()}", 60)
    assert set(uids) == set(wanted)
    check_nothing_doubled(machine, wanted)
    # A rolling update of one instance has two for a moment; so has a scale from one to two after it.
    assert all(watcher.most[uids[name]] <= 2 + (count == 2) for name, count in wanted.items()), watcher.most


def check_nothing_doubled(machine: Machine, wanted: dict[str, int]) -> None:
    """Two revisions each, one row an instance, and every act told once."""
    revisions = machine.rows(
        "SELECT s.name, array_agg(r.number ORDER BY r.number) FROM deployments_service s "
        "JOIN deployments_revision r ON r.service_id = s.id GROUP BY s.name"
    )
    assert dict(revisions) == {name: [1, 2] for name in wanted}
    instances = (
        "SELECT s.name, count(i.id) FROM deployments_service s "
        "LEFT JOIN deployments_instance i ON i.service_id = s.id GROUP BY s.name"
    )
    # The row of an instance that has ended goes with the next look at its service.
    wait_until(lambda: dict(machine.rows(instances)) == wanted, "one row an instance", 60)
    acts = machine.rows(
        "SELECT s.name, e.code, e.message, count(*) FROM deployments_serviceevent e "
        "JOIN deployments_service s ON e.service_id = s.id "
        "WHERE e.code IN ('Created', 'Updated', 'Updating', 'Scaling', 'Stopping', 'Stopped') "
        "GROUP BY 1, 2, 3 HAVING count(*) > 1"
    )
    assert acts == []
    audited = machine.rows(
        "SELECT target, count(*) FROM deployments_auditentry WHERE action = 'service.create' GROUP BY 1"
    )
    assert {count for _, count in audited} == {1}


def test_a_chat_of_one_server_is_watched_at_the_other_and_kept_when_its_server_is_killed(machine: Machine) -> None:
    document = {
        "metadata": {"name": "two_chat", "instance": 1, "eas.termination_grace_period": 5},
        "containers": [{"image": "chat-llm-webui:3.0", "script": MODEL, "port": 8000}],
    }
    assert machine.call(0, "POST", "/services", document).status_code == 201
    token = machine.wait_for("two_chat", "Running")["AccessToken"]
    asked = {"prompt": "What is the capital of France?", "temperature": 0, "use_stream_chat": False}
    for server in machine.servers:
        answer = httpx.post(
            f"{server.url}/api/predict/two_chat", json=asked, headers={"Authorization": token}, timeout=60
        )
        assert "Paris" in answer.json()["response"]
    session = sign_in(machine.servers[0])
    with open_page(machine.servers[0], session) as asker, open_page(machine.servers[1], session) as watcher:
        conversation = asker.ask("What is the capital of France?", parameters={"temperature": 0})
        watcher.say(type="watch", conversation=conversation)
        assert watcher.hear_type("end", 60)["status"] == "finished"
        asker.hear_type("end", 60)
        assert watcher.text == asker.text != ""

        asker.ask("Tell a very long story.", conversation, watched=True, parameters={"max_tokens": 1500})
        watcher.hear_words(20)
        machine.parts["server_a"].kill()
        ended = watcher.hear_type("end", 60)
        assert ended["status"] == "interrupted"
    machine.parts["server_a"].start()
    turns = machine.rows("SELECT number, status, answer FROM inference_gateway_turn ORDER BY created_at")
    told = [(status, bool(answer)) for _, status, answer in turns]
    # Each question once, and the one that was cut off with what had been said.
    assert told == [("finished", True), ("interrupted", True)]
    assert turns[-1][2].count(" ") >= 20


def sign_in(server: Part) -> str:
    """A person's session, which every server knows."""
    with httpx.Client(base_url=server.url, timeout=60, trust_env=False) as browser:
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', browser.get("/sign-in").text)
        assert token is not None
        form = {"csrfmiddlewaretoken": token[1], "username": "admin", "password": PASSWORD}
        assert browser.post("/sign-in", data=form, headers={"Referer": server.url}).status_code == 302
        return browser.cookies["slipway_session"]


@contextmanager
def open_page(server: Part, session: str) -> Iterator[Page]:
    """A chat page's socket at one server."""
    address = f"ws://127.0.0.1:{server.port}/ws/chat/two_chat"
    headers = {"Cookie": f"slipway_session={session}"}
    with connect(address, origin=Origin(server.url), additional_headers=headers) as socket:
        yield Page(socket)

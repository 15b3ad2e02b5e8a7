"""The supervisor with all its parts: starting, being refused, losing parts, being lost itself, stopping."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.contrib.auth.hashers import PBKDF2PasswordHasher

from console.environment import REPOSITORY
from tests.ports import free_port
from tests.slipway_process import SlipwayProcess, is_gone, process_environment
from tests.waiting import wait_until

pytestmark = pytest.mark.supervisor

PARTS = ("valkey-server", "uvicorn", "celery -A console.celery:app worker", "celery -A console.celery:app beat")


@pytest.fixture(scope="module")
def slipway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SlipwayProcess]:
    """One running Slipway for the tests that leave it ready again."""
    running = SlipwayProcess(tmp_path_factory.mktemp("slipway") / "data", is_embedded=True)
    try:
        yield running.start()
    finally:
        running.end_everything()


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[SlipwayProcess]:
    """A Slipway of this test alone, not started yet."""
    own = SlipwayProcess(tmp_path / "data", is_embedded=True)
    try:
        yield own
    finally:
        own.end_everything()


def stored_password(data_dir: Path) -> str:
    with sqlite3.connect(data_dir / "db.sqlite3") as connection:
        (encoded,) = connection.execute("SELECT password FROM auth_user WHERE username = 'admin'").fetchone()
    return str(encoded)


def run_supervisor(**variables: str) -> subprocess.CompletedProcess[str]:
    """A supervisor that is expected to end by itself."""
    return subprocess.run(
        [sys.executable, "-m", "console.supervisor"],
        cwd=REPOSITORY,
        env=process_environment(**variables),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_first_start_prints_the_address_and_a_password_that_is_the_operators(slipway: SlipwayProcess) -> None:
    assert f"Address   {slipway.address}\n" in slipway.output
    assert PBKDF2PasswordHasher().verify(slipway.password(), stored_password(slipway.data_dir))


def test_the_generated_password_is_in_no_file(slipway: SlipwayProcess) -> None:
    password = slipway.password().encode()
    holders = [path for path in slipway.data_dir.rglob("*") if path.is_file() and password in path.read_bytes()]
    assert holders == []


def test_readiness_lists_every_check(slipway: SlipwayProcess) -> None:
    status, body = slipway.readyz()
    assert status == 200
    assert {name: check["ok"] for name, check in body["checks"].items()} == {
        "database": True,
        "valkey": True,
        "worker": True,
        "watcher": True,
        "services": True,
    }


def test_the_pid_file_names_the_supervisor(slipway: SlipwayProcess) -> None:
    assert slipway.process is not None
    assert (slipway.data_dir / "supervisor.pid").read_text() == f"{slipway.process.pid}\n"


@pytest.mark.parametrize("marker", PARTS)
def test_a_part_is_recognisable_by_its_command(slipway: SlipwayProcess, marker: str) -> None:
    assert slipway.part(marker) is not None


def test_a_second_supervisor_on_the_same_folder_is_refused_in_one_line(slipway: SlipwayProcess) -> None:
    done = run_supervisor(**{**slipway.variables, "SLIPWAY_PORT": str(free_port())})
    assert done.returncode != 0
    assert len((done.stdout + done.stderr).splitlines()) == 1
    assert "SLIPWAY_DATA_DIR" in done.stderr
    assert slipway.process is not None
    assert str(slipway.process.pid) in done.stderr
    assert slipway.readyz()[0] == 200


@pytest.mark.parametrize("marker", PARTS)
def test_a_killed_part_is_replaced_and_everything_works_again(slipway: SlipwayProcess, marker: str) -> None:
    slipway.wait_ready()
    before = slipway.part(marker)
    assert before is not None
    os.kill(before, signal.SIGKILL)
    wait_until(lambda: slipway.part(marker) not in (None, before), f"another {marker} runs")

    def has_a_fresh_heartbeat() -> bool:
        status, body = slipway.readyz()
        age = body.get("worker_heartbeat_age_seconds")
        return status == 200 and age is not None and age < 3

    wait_until(has_a_fresh_heartbeat, "ready, with a fresh heartbeat", 40)


def test_connections_wait_while_the_server_restarts(slipway: SlipwayProcess) -> None:
    slipway.wait_ready()
    server = slipway.part("uvicorn")
    assert server is not None
    os.kill(server, signal.SIGKILL)
    wait_until(lambda: is_gone(server), "the server is gone")
    with socket.create_connection(("127.0.0.1", slipway.port), timeout=30) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert connection.recv(64).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("part", ["worker", "beat"])
def test_a_part_s_loop_touches_its_file(slipway: SlipwayProcess, part: str) -> None:
    pulse = slipway.data_dir / f"{part}.pulse"
    first = wait_until(lambda: pulse.exists() and pulse.stat().st_mtime_ns, f"{pulse} is there")
    wait_until(lambda: pulse.stat().st_mtime_ns != first, f"{pulse} is touched again")


def test_a_worker_that_hangs_is_killed_and_replaced(slipway: SlipwayProcess) -> None:
    slipway.wait_ready()
    worker = slipway.part("app worker")
    assert worker is not None
    os.kill(worker, signal.SIGSTOP)
    wait_until(lambda: is_gone(worker), "the hanging worker is gone", 60)
    slipway.wait_ready()


def test_a_kill_of_the_supervisor_takes_the_parts_along_and_the_next_start_works(fresh: SlipwayProcess) -> None:
    fresh.start()
    parts = [fresh.part(marker) for marker in PARTS]
    assert None not in parts
    fresh.stop(signal.SIGKILL)
    wait_until(lambda: all(is_gone(pid) for pid in parts if pid), "every part is gone")
    before = stored_password(fresh.data_dir)
    fresh.start()
    assert "shown this once" not in fresh.output
    assert stored_password(fresh.data_dir) == before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_leaves_no_process_and_succeeds(fresh: SlipwayProcess, number: signal.Signals) -> None:
    fresh.start()
    assert len(fresh.processes()) >= 5
    assert fresh.stop(number) == 0
    assert fresh.processes() == []
    assert not (fresh.data_dir / "supervisor.pid").exists()
    assert not (fresh.data_dir / "valkey.sock").exists()


def test_a_stop_during_the_start_leaves_no_process(fresh: SlipwayProcess) -> None:
    fresh.launch()
    wait_until(lambda: len(fresh.processes()) >= 2, "a part has started")
    assert fresh.stop() == 0
    assert fresh.processes() == []


def test_a_given_password_is_the_operators_and_is_not_printed(fresh: SlipwayProcess) -> None:
    fresh.variables["SLIPWAY_ADMIN_PASSWORD"] = "correct horse battery"
    fresh.start()
    assert "correct horse battery" not in fresh.output
    assert PBKDF2PasswordHasher().verify("correct horse battery", stored_password(fresh.data_dir))
    server = fresh.part("uvicorn")
    assert server is not None
    assert b"correct horse" not in Path(f"/proc/{server}/environ").read_bytes()


def test_a_busy_port_is_refused_in_one_line(fresh: SlipwayProcess) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        done = run_supervisor(**{**fresh.variables, "SLIPWAY_PORT": str(port)})
    assert done.returncode != 0
    (line,) = (done.stdout + done.stderr).splitlines()
    assert str(port) in line
    assert "SLIPWAY_PORT" in line


def test_an_address_of_another_machine_is_refused_in_one_line(fresh: SlipwayProcess) -> None:
    done = run_supervisor(**fresh.variables, SLIPWAY_HOST="192.0.2.1")
    assert done.returncode != 0
    (line,) = (done.stdout + done.stderr).splitlines()
    assert "SLIPWAY_HOST" in line


def test_each_wrong_setting_is_one_line_and_nothing_is_made(fresh: SlipwayProcess) -> None:
    done = run_supervisor(**{**fresh.variables, "SLIPWAY_PORT": "http", "SLIPWAY_CLUSTER": "swarm"})
    assert done.returncode != 0
    assert len((done.stdout + done.stderr).splitlines()) == 2
    assert not fresh.data_dir.exists()


def test_a_redis_that_does_not_answer_is_told_in_one_line(fresh: SlipwayProcess) -> None:
    done = run_supervisor(**fresh.variables, REDIS_URL=f"redis://:hunter2@127.0.0.1:{free_port()}/0")
    assert done.returncode != 0
    (line,) = (done.stdout + done.stderr).splitlines()
    assert "REDIS_URL" in line
    assert "hunter2" not in line


def test_a_damaged_database_is_told_in_one_line(fresh: SlipwayProcess) -> None:
    fresh.data_dir.mkdir()
    (fresh.data_dir / "db.sqlite3").write_bytes(b"this is no database" * 100)
    done = run_supervisor(**fresh.variables)
    assert done.returncode != 0
    (line,) = done.stderr.splitlines()
    assert "DATABASE_URL" in line


def test_a_part_that_cannot_live_ends_the_start_with_its_last_lines(fresh: SlipwayProcess, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "uvicorn.py").write_text("import sys\nsys.exit('the library is broken')\n")
    done = run_supervisor(**fresh.variables, PYTHONPATH=str(broken))
    assert done.returncode != 0
    assert "The server cannot start" in done.stderr
    assert "the library is broken" in done.stdout
    assert fresh.processes() == []

"""Pieces of the supervisor that can be looked at alone."""

from __future__ import annotations

import json
import os
import socket
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection
from django.db.migrations.loader import MigrationLoader
from django.test import Client

from console.environment import Environment
from console.supervisor.claims import listen
from console.supervisor.leftovers import PartsRecord
from console.supervisor.parts import LARGEST_LOG_BYTES, rotate
from console.supervisor.preparation import expected_migrations, is_prepared
from console.supervisor.probe import NOT_ANSWERING, parse_answer
from console.supervisor.supervisor import pulse_age_seconds
from deployments.models import Membership, Role
from tests.ports import free_port
from tests.slipway_process import is_gone
from tests.waiting import wait_until


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(["sleep", "300"], start_new_session=True)
    yield process
    process.kill()
    process.wait()


@pytest.mark.django_db
def test_the_supervisor_knows_every_migration_that_django_would_apply() -> None:
    assert expected_migrations() == frozenset(MigrationLoader(connection).disk_migrations)


def test_a_database_that_lacks_a_migration_is_not_prepared(tmp_path: Path) -> None:
    environment = Environment.parse({"SLIPWAY_DATA_DIR": str(tmp_path)})
    assert not is_prepared(environment)
    with sqlite3.connect(tmp_path / "db.sqlite3") as database:
        database.execute("CREATE TABLE django_migrations (app TEXT, name TEXT)")
        database.execute("CREATE TABLE auth_user (username TEXT)")
        database.execute("INSERT INTO auth_user VALUES ('admin')")
        *most, last = sorted(expected_migrations())
        database.executemany("INSERT INTO django_migrations VALUES (?, ?)", most)
        database.commit()
        assert not is_prepared(environment)
        database.execute("INSERT INTO django_migrations VALUES (?, ?)", last)
        database.commit()
    assert is_prepared(environment)


def prepare() -> dict[str, object]:
    read_end, write_end = os.pipe()
    call_command("prepare", "--result-fd", str(write_end), stdout=StringIO())
    with os.fdopen(read_end) as result:
        return dict(json.load(result))


@pytest.mark.django_db
def test_preparing_makes_an_owner_of_the_default_workspace_once() -> None:
    first, second = prepare(), prepare()
    admin = User.objects.get(username="admin")
    assert admin.is_superuser
    assert admin.check_password(str(first["new_password"]))
    assert Membership.objects.get(user=admin, workspace__slug="default").role == Role.OWNER
    assert second == {"created_admin": False, "new_password": None}


@pytest.mark.django_db
def test_preparing_makes_nobody_where_somebody_is() -> None:
    User.objects.create_user("someone")
    assert prepare() == {"created_admin": False, "new_password": None}
    assert not User.objects.filter(username="admin").exists()


def test_a_part_left_by_an_earlier_supervisor_is_ended(tmp_path: Path, sleeper: subprocess.Popen[bytes]) -> None:
    PartsRecord(tmp_path).add("worker", sleeper.pid)
    assert PartsRecord(tmp_path).kill_leftovers() == ["worker"]
    wait_until(lambda: is_gone(sleeper.pid), "the part is gone")
    assert PartsRecord(tmp_path).kill_leftovers() == []


def test_a_stranger_with_the_id_of_an_old_part_is_left_alone(tmp_path: Path, sleeper: subprocess.Popen[bytes]) -> None:
    (tmp_path / "supervisor.parts").write_text(json.dumps({"worker": [sleeper.pid, "1"]}))
    assert PartsRecord(tmp_path).kill_leftovers() == []
    assert sleeper.poll() is None


def test_connections_send_at_once_whatever_the_server_takes_them_for() -> None:
    with listen("127.0.0.1", free_port()) as listener, socket.create_connection(listener.getsockname()):
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0


def test_a_log_grown_too_large_is_moved_while_its_writer_goes_on(tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    with log.open("ab", buffering=0) as writer:
        writer.write(b"x" * LARGEST_LOG_BYTES)
        rotate(log)
        writer.write(b"later\n")
    assert log.read_bytes() == b"later\n"
    assert (tmp_path / "server.log.1").stat().st_size == LARGEST_LOG_BYTES


def test_a_small_log_stays(tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    log.write_text("line\n")
    rotate(log)
    rotate(tmp_path / "absent.log")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["server.log"]


NO_ANSWERS = [b"", b"HTTP/1.1 200 OK\r\n\r\nhello", b'HTTP/1.1 500 No\r\n\r\n{"a": 1}', b"\r\n\r\n[]"]


@pytest.mark.parametrize("answer", NO_ANSWERS)
def test_an_answer_that_is_not_readyz_counts_as_none(answer: bytes) -> None:
    assert parse_answer(answer) == NOT_ANSWERING


def test_an_answer_tells_what_is_not_ready() -> None:
    body = {"checks": {"valkey": {"ok": True, "reason": ""}, "worker": {"ok": False, "reason": "No sweep."}}}
    answer = b"HTTP/1.1 503 Service Unavailable\r\n\r\n" + json.dumps(body).encode()
    readiness = parse_answer(answer)
    assert (readiness.is_ready, readiness.is_answering) == (False, True)
    assert readiness.reasons == {"worker": "No sweep."}


@pytest.mark.django_db
def test_readyz_is_503_with_the_reason_until_a_worker_has_swept(client: Client) -> None:
    answer = client.get("/readyz")
    assert answer.status_code == 503
    checks = answer.json()["checks"]
    assert [name for name, check in checks.items() if not check["ok"]] == ["worker"]
    assert checks["worker"]["reason"]


def test_healthz_needs_nothing(client: Client) -> None:
    assert client.get("/healthz").json() == {"status": "ok"}


def test_a_pulse_is_as_old_as_its_last_touch_and_one_that_never_was_is_oldest(tmp_path: Path) -> None:
    pulse = tmp_path / "watcher.pulse"
    assert pulse_age_seconds(pulse) == float("inf")
    pulse.touch()
    os.utime(pulse, (time.time() - 100, time.time() - 100))
    assert 100 <= pulse_age_seconds(pulse) < 130

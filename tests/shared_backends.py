"""A PostgreSQL and a Redis that a whole test run shares, and a fresh database of each for every Slipway in it.

``TEST_DATABASE_URL`` and ``TEST_REDIS_URL`` name them; either may be left out, and then Slipway's own defaults are
tested. ``python -m tests.shared_backends COMMAND…`` starts both in a temporary folder and runs the command.
"""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import redis
from psycopg import sql

from console.supervisor.valkey import find_valkey_server
from tests.ports import free_port
from tests.postgres import temporary_postgres
from tests.programs import find_program
from tests.waiting import wait_until

#: Enough for every Slipway of a run, and for those that run at once.
DATABASES, CONNECTIONS = 2048, 400
_TAKEN = "slipway:tests:taken:{}"
_numbers = itertools.count(1)


def take_postgres() -> str | None:
    """The URL of a fresh, empty database on the shared PostgreSQL, or None where there is none."""
    shared = os.environ.get("TEST_DATABASE_URL")
    if not shared:
        return None
    name = f"slipway_{os.getpid()}_{next(_numbers)}"
    with psycopg.connect(shared, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    return urlsplit(shared)._replace(path=f"/{name}").geturl()


def drop_postgres(url: str) -> None:
    """Remove what ``take_postgres`` made, whoever is still connected."""
    name = urlsplit(url).path.removeprefix("/")
    with psycopg.connect(os.environ["TEST_DATABASE_URL"], autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def take_redis() -> str | None:
    """The URL of an empty database on the shared Redis that nobody else uses; None where there is none.

    Database 0 keeps what is taken.
    """
    shared = os.environ.get("TEST_REDIS_URL")
    if not shared:
        return None
    base = urlsplit(shared)
    with redis.Redis.from_url(base._replace(path="/0").geturl()) as keeper:
        count = int(dict(keeper.config_get("databases"))["databases"])
        for number in range(1, count):
            if keeper.set(_TAKEN.format(number), os.getpid(), nx=True, ex=6 * 3600):
                url = base._replace(path=f"/{number}").geturl()
                with redis.Redis.from_url(url) as own:
                    own.flushdb()
                return url
    raise AssertionError(f"all {count} databases of TEST_REDIS_URL are taken")


def release_redis(url: str) -> None:
    """Give back what ``take_redis`` took."""
    base = urlsplit(url)
    with redis.Redis.from_url(base._replace(path="/0").geturl()) as keeper:
        keeper.delete(_TAKEN.format(base.path.removeprefix("/")))


@contextmanager
def temporary_redis() -> Iterator[str]:
    """The URL of a Redis on a TCP port, as people bring their own: Debian's where it is installed, else the wheel's."""
    program = find_program("redis-server") or find_program("valkey-server") or find_valkey_server()
    folder, port = Path(tempfile.mkdtemp(prefix="slipway-redis-")), free_port()
    options = {"port": str(port), "bind": "127.0.0.1", "databases": str(DATABASES), "save": "", "dir": str(folder)}
    command = [str(program), *(word for name, value in options.items() for word in (f"--{name}", value))]
    server = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"redis://127.0.0.1:{port}/0"
    try:
        with redis.Redis.from_url(url) as client:
            wait_until(lambda: answers(client), f"{program} answers", 30)
        yield url
    finally:
        server.terminate()
        server.wait(30)
        shutil.rmtree(folder, ignore_errors=True)


def answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.ConnectionError:
        return False


def main(command: list[str]) -> int:
    """Run ``command`` with both, and return its exit code."""
    pg_ctl = find_program("postgresql")
    if pg_ctl is None:
        print("PostgreSQL is not installed (Debian: apt-get install postgresql)", file=sys.stderr)
        return 1
    with temporary_postgres(pg_ctl, CONNECTIONS) as database, temporary_redis() as broker:
        variables = {**os.environ, "TEST_DATABASE_URL": database, "TEST_REDIS_URL": broker}
        return subprocess.run(command, env=variables, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""A PostgreSQL of one's own, in a temporary folder."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.ports import free_port
from tests.waiting import wait_until


def _is_ready(programs: Path, port: int) -> bool:
    """It listens some time before it lets anybody in."""
    ask = (programs / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port))
    return subprocess.run(ask, check=False).returncode == 0


@contextmanager
def temporary_postgres(pg_ctl: Path, connections: int = 100) -> Iterator[str]:
    """The URL of an empty database ``slipway``. As root it runs as ``postgres``, for it refuses to be root's.

    It takes as many ``connections`` as PostgreSQL does by itself: one Slipway must do with those.
    """
    folder = Path(tempfile.mkdtemp(prefix="slipway-postgres-"))
    owner = "postgres" if os.getuid() == 0 else None
    if owner is not None:
        os.chown(folder, pwd.getpwnam(owner).pw_uid, pwd.getpwnam(owner).pw_gid)
    programs, data, port = pg_ctl.parent, folder / "data", free_port()
    initdb = (programs / "initdb", "-D", data, "-U", "slipway", "--auth=trust", "--no-sync", "-E", "UTF8")
    subprocess.run(initdb, cwd=folder, user=owner, check=True, capture_output=True)
    server = subprocess.Popen(
        (
            programs / "postgres",
            "-D",
            data,
            "-p",
            str(port),
            "-h",
            "127.0.0.1",
            "-k",
            folder,
            "-F",
            "-N",
            str(connections),
        ),
        cwd=folder,
        user=owner,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until(lambda: _is_ready(programs, port), "PostgreSQL lets clients in", 30)
        create = (programs / "createdb", "-h", "127.0.0.1", "-p", str(port), "-U", "slipway", "slipway")
        subprocess.run(create, check=True, capture_output=True)
        yield f"postgres://slipway@127.0.0.1:{port}/slipway"
    finally:
        server.send_signal(signal.SIGINT)  # a fast shutdown: connections are cut
        server.wait(30)
        shutil.rmtree(folder, ignore_errors=True)

"""Environments of packages that tests run in processes of their own, as lock files have them."""

from __future__ import annotations

import fcntl
import subprocess
import sys
from pathlib import Path


def install_locked(lock: Path, folder: Path, turn: Path) -> Path:
    """The Python of ``folder`` with what ``lock`` has; later runs find it again.

    ``turn`` is a file that is held meanwhile: several test processes may ask at once.
    """
    python, stamp = folder / "bin" / "python", folder / "installed.lock"
    with turn.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        if not stamp.exists() or stamp.read_bytes() != lock.read_bytes():
            uv = [sys.executable, "-m", "uv"]
            install = ["pip", "install", "-q", "--python", str(python), "--require-hashes", "-r", str(lock)]
            for command in (["venv", "-q", "--clear", "--python", sys.executable, str(folder)], install):
                done = subprocess.run([*uv, *command], check=False, capture_output=True, text=True, timeout=300)
                assert done.returncode == 0, done.stderr
            stamp.write_bytes(lock.read_bytes())
    return python

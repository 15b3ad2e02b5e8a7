"""Clients of the gateway's dialects as their makers publish them, each set of versions in an environment of its own."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from console.environment import REPOSITORY
from tests.inference_gateway.rig import Deployed
from tests.locked_environment import install_locked

FOLDER = REPOSITORY / ".venv-clients"


def client_python(name: str) -> Path:
    """A Python with what ``requirements-<name>.lock`` has; later runs find it again. Side by side is fine."""
    FOLDER.mkdir(exist_ok=True)
    return install_locked(REPOSITORY / f"requirements-{name}.lock", FOLDER / name, FOLDER / f"{name}.setup")


def run_client(name: str, program: str, service: Deployed, home: Path, **more: str) -> dict[str, Any]:
    """The object that a program beside this file prints last. It knows a service's address and token, and ``more``."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "ROOT": service.url.removesuffix(service.path),
        "SERVICE": service.row.name,
        "BELOW": service.url,
        "TOKEN": service.token,
        **more,
    }
    done = subprocess.run(
        [str(client_python(name)), str(Path(__file__).with_name(program))],
        check=False,
        env=environment,
        cwd=home,
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    seen: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return seen

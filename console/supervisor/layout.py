"""Which parts there are, with their commands and environments."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

from console.environment import Environment
from console.supervisor.parts import PartSpec
from console.supervisor.valkey import render_valkey_command

WORKER_THREADS = 8
#: By name: the supervisor itself does without uvicorn.
HTTP_PROTOCOL = "inference_gateway.server_protocols:UpgradeBlindProtocol"
WEBSOCKET_PROTOCOL = "inference_gateway.server_protocols:RefusableProtocol"
#: A server process that is loaded already and waits until another has ended. Where there is but one server it would
#: double what Slipway takes at rest.
STANDBY = "standby"
#: The server ends streams and WebSockets that are still open after this long.
SERVER_GRACE_SECONDS = 5


def is_server(part: str) -> bool:
    """Whether a part of that name is one of the processes that answer."""
    return part == "server" or part.startswith("server-")


def part_environment(environment: Environment, variables: Mapping[str, str], booted_at: float) -> dict[str, str]:
    """The parts' environment: this one, with what was computed or relative made explicit."""
    result = {name: value for name, value in variables.items() if name != "SLIPWAY_ADMIN_PASSWORD"}
    result |= {
        "DJANGO_SETTINGS_MODULE": "console.settings",
        "PYTHONUNBUFFERED": "1",
        "SLIPWAY_DATA_DIR": str(environment.data_dir),
        "SLIPWAY_BOOT_AT": f"{booted_at:.6f}",
        "REDIS_URL": environment.redis_url,
    }
    if environment.database_file is not None:
        result["DATABASE_URL"] = f"sqlite:///{quote(str(environment.database_file))}"
    return result


def prepare_environment(environment: Environment, variables: Mapping[str, str]) -> dict[str, str]:
    """``manage.py prepare`` alone is told the first password."""
    given = environment.admin_password
    return {**variables} if given is None else {**variables, "SLIPWAY_ADMIN_PASSWORD": given}


def make_part_specs(
    environment: Environment, variables: dict[str, str], log_folder: Path, listener: int
) -> list[PartSpec]:
    """The parts in the order of their start. ``listener`` is the file descriptor that the servers take over.

    Each of them accepts from the same socket: who is free takes the next connection, and what one leaves waiting when
    it is killed is another's.
    """
    python = sys.executable
    specs = []
    if environment.has_embedded_valkey:
        command = tuple(render_valkey_command(environment.valkey_socket))
        specs.append(PartSpec("valkey", command, variables, log_folder / "valkey.log", grace_seconds=5))
    arguments = (
        *("console.asgi:application", "--fd", str(listener)),
        *("--loop", "uvloop", "--http", HTTP_PROTOCOL, "--ws", WEBSOCKET_PROTOCOL, "--lifespan", "on"),
        *("--timeout-graceful-shutdown", str(SERVER_GRACE_SECONDS), "--timeout-keep-alive", "65"),
        *("--no-access-log", "--no-server-header", "--log-level", "warning"),
    )
    celery = (python, "-m", "celery", "-A", "console.celery:app")
    worker = (
        *(*celery, "worker", "--pool", "threads", "--concurrency", str(WORKER_THREADS), "--loglevel", "INFO"),
        *("--without-gossip", "--without-mingle", "--without-heartbeat", "--hostname", "slipway@localhost"),
    )
    # The schedule in memory: a file of it could be damaged by a kill, and there is nothing to remember.
    beat = (*celery, "beat", "--scheduler", "console.celery:PulsingScheduler", "--pidfile", "", "--loglevel", "INFO")
    servers = ["server", *(f"server-{number}" for number in range(2, environment.server_processes + 1))]
    specs += [
        PartSpec(
            name,
            (python, "-m", "uvicorn", *arguments),
            variables,
            log_folder / f"{name}.log",
            SERVER_GRACE_SECONDS + 3,
            (listener,),
        )
        for name in servers
    ]
    if len(servers) > 1:
        command = (python, "-m", "console.standby", *arguments)
        specs.append(PartSpec(STANDBY, command, variables, log_folder / "standby.log", 1, (listener,), is_standby=True))
    specs += [
        PartSpec("worker", worker, variables, log_folder / "worker.log", grace_seconds=10),
        PartSpec("beat", beat, variables, log_folder / "beat.log", grace_seconds=5),
    ]
    if environment.cluster == "kubernetes":
        watcher = (python, "manage.py", "watch_cluster")
        specs.append(PartSpec("watcher", watcher, variables, log_folder / "watcher.log", grace_seconds=10))
    return specs

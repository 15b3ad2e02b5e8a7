"""Who is measured: the engine without anybody between, nginx, and Slipway as its supervisor starts it."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import httpx

from bench.gateway.client import Target, ask, get_json
from bench.gateway.loads import is_good_stream, run
from bench.gateway.processes import end, family, pin
from console.environment import REPOSITORY
from tests.ports import free_port
from tests.slipway_process import SlipwayProcess
from tests.static_files import build_static_files
from tests.waiting import wait_until

#: Every arm checks that its callers know this.
TOKEN = "bench-token-0123456789abcdef"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
ENGINE = REPOSITORY / "bench" / "gateway" / "fake_engine.py"

#: Answers at once of the engine that has a bound.
SLOTS = 16


class UnavailableError(Exception):
    """The arm cannot be measured here; the text says why."""


class InvalidError(Exception):
    """The arm answers, but not what was asked for: its figures would be of something else."""


class Arm(ABC):
    """One way to the engine. ``start`` before the rest; ``stop`` however it went, twice is fine."""

    name: str
    target: Target
    #: Where the engine tells about the answers that it is writing.
    engine_port: int
    #: Whether callers without its token are refused.
    checks_token = True
    #: More than this many streams side by side, or held, it cannot carry in the time that a round has.
    most_streams = 100_000
    #: The same before an engine that writes ``SLOTS`` answers at once, told to let twice as many in.
    bounded: Target | None = None
    #: Where EAS's dialogue over WebSocket is; "" where there is none.
    websocket_path = ""
    #: What else has to be known beside its figures.
    remark = ""

    @abstractmethod
    def start(self) -> None:
        """Until it answers. Raises UnavailableError."""

    @abstractmethod
    def stop(self) -> None:
        """End all of its processes."""

    def pids(self) -> list[int]:
        """The gateway's processes: those that the requests go through, and their children."""
        return []

    def beside(self) -> list[int]:
        """Processes that work for the gateway without being in the way of a request."""
        return []

    def renew(self) -> None:
        """A gateway that has served nobody yet."""
        self.stop()
        self.start()

    def validate(self) -> None:
        """One answer of each kind, compared with what the engine says. Raises InvalidError."""
        unary = run(ask(self.target, "tokens=5"))
        if unary.status != 200 or b"w0 w1 w2 w3 w4" not in unary.body:
            raise InvalidError(f"a question got {unary.status}: {unary.raw[:300]!r}")
        stream = run(ask(self.target, "tokens=40 gap=2", is_stream=True))
        if not is_good_stream(stream, 40):
            raise InvalidError(f"a streamed question got {stream.status}: {stream.raw[-300:]!r}")
        if self.checks_token:
            anonymous = Target(self.target.port, self.target.path, self.target.model, {})
            if run(ask(anonymous)).status < 400:  # LiteLLM without a database refuses with 500
                raise InvalidError("a caller without a token was answered")


class Engine:
    """The pretended engine of every arm but Slipway's, which starts one itself."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.port = free_port()
        self._options = options
        self._log = folder / "engine.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = launch([sys.executable, str(ENGINE), "--port", str(self.port), *self._options], self._log)
        wait_http(self._process, self._log, self.port, "/health")

    def stop(self) -> None:
        if self._process is not None:
            end(self._process)


class Direct(Arm):
    """Nobody between: what the engine, the generator and the machine cost by themselves."""

    name = "direct"
    checks_token = False

    def __init__(self, engine: Engine) -> None:
        self.engine_port = engine.port
        self.target = Target(engine.port, headers=BEARER)

    def start(self) -> None:
        """It runs already."""

    def stop(self) -> None:
        """Who started it ends it."""


class Program(Arm):
    """A gateway that is one command; ``command`` is asked for once the port is known."""

    headers = BEARER
    #: Asked until it is answered with 200.
    health = "/health"
    start_seconds = 60.0

    def __init__(self, engine: Engine, folder: Path, cpus: set[int]) -> None:
        self.engine_port = engine.port
        self.folder = folder / self.name
        self.cpus = cpus
        self.target = Target(free_port(), headers=self.headers)
        self.spare_port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def command(self) -> list[str]:
        """Prepare and say what to start. Raises UnavailableError."""

    def environment(self) -> dict[str, str]:
        return {}

    def start(self) -> None:
        self.folder.mkdir(exist_ok=True)
        command = self.command()
        if (taskset := shutil.which("taskset")) is not None:  # before it counts the cores that it has
            command = [taskset, "--cpu-list", ",".join(map(str, self.cpus)), *command]
        log = self.folder / "log"
        self._process = launch(command, log, self.environment())
        wait_http(self._process, log, self.target.port, self.health, self.headers, self.start_seconds)
        pin(self.pids(), self.cpus)

    def stop(self) -> None:
        if self._process is not None:
            end(self._process)

    def pids(self) -> list[int]:
        return [] if self._process is None else family([self._process.pid])


class Nginx(Program):
    """nginx as a proxy that buffers nothing: the least that anything between can cost."""

    name = "nginx"

    def command(self) -> list[str]:
        program = shutil.which("nginx", path=f"/usr/sbin:{os.environ.get('PATH', os.defpath)}")
        if program is None:
            raise UnavailableError("nginx is not installed (Debian: apt-get install nginx)")
        temporary = "\n".join(
            f"  {kind}_temp_path {self.folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        (self.folder / "nginx.conf").write_text(
            f"""daemon off;
worker_processes 1;
worker_rlimit_nofile 20000;
pid {self.folder}/pid;
error_log {self.folder}/error.log;
events {{ worker_connections 16000; }}
http {{
  access_log off;
{temporary}
  client_body_buffer_size 128k;
  keepalive_requests 1000000000;
  upstream engine {{ server 127.0.0.1:{self.engine_port}; keepalive 512; keepalive_requests 1000000000; }}
  server {{
    listen 127.0.0.1:{self.target.port} backlog=4096;
    location = /health {{ return 200; }}
    location / {{
      if ($http_authorization != "{self.headers["Authorization"]}") {{ return 401; }}
      proxy_pass http://engine;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_buffering off;
      proxy_read_timeout 3600s;
    }}
  }}
}}
"""
        )
        return [program, "-p", str(self.folder), "-c", str(self.folder / "nginx.conf"), "-e", "stderr"]


class Slipway(Arm):
    """All of Slipway by its supervisor, a service deployed over REST whose instance is the pretended engine.

    Callers have an API key with limits, and their usage is counted.
    """

    name = "slipway"
    service = "bench_gateway"
    websocket_path = f"/api/predict/{service}"
    remark = "its server's process; worker, schedule and Valkey are told beside it"

    def __init__(self, folder: Path, cpus: set[int]) -> None:
        self._data_dir = folder / "slipway"
        self._cpus = cpus
        self._slipway = SlipwayProcess(self._data_dir, SLIPWAY_ADMIN_PASSWORD="correct-horse-battery")
        self.target = Target(self._slipway.port, headers=BEARER)

    def start(self) -> None:
        build_static_files(self._data_dir)
        self._slipway.start(120)
        limit = {"networking": {"gateway_policy": {"concurrency_limit": {"enable": True, "limit": 2 * SLOTS}}}}
        with httpx.Client(base_url=self._slipway.address, auth=("admin", "correct-horse-battery"), timeout=30) as api:
            self.target = replace(deploy_engine(api, self._slipway.port, self.service), headers=make_limited_key(api))
            self.bounded = deploy_engine(api, self._slipway.port, "bench_bounded", f" --slots {SLOTS}", limit)
        [(self.engine_port,)] = self._slipway.query(
            "SELECT port FROM deployments_instance JOIN deployments_service ON service_id = deployments_service.id "
            f"WHERE deployments_service.name = '{self.service}'"
        )
        pin(self.pids(), self._cpus)

    def stop(self) -> None:
        self._slipway.end_everything()

    def pids(self) -> list[int]:
        return family(self._servers())

    def beside(self) -> list[int]:
        parts = (self._slipway.part(marker) for marker in ("valkey-server", "app worker", "app beat"))
        return [pid for pid in parts if pid is not None]

    def renew(self) -> None:
        """A fresh server, as the supervisor starts it after one was lost."""
        old = self._servers()
        for pid in old:
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: len(set(self._servers()) - set(old)) == len(old), "the server is started again", 30)
        self._slipway.wait_ready()
        pin(self.pids(), self._cpus)
        self.validate()

    def _servers(self) -> list[int]:
        return sorted(self._slipway.servers())


def deploy_engine(
    api: httpx.Client, port: int, name: str, options: str = "", more: Mapping[str, object] | None = None
) -> Target:
    """A service of the Slipway at ``port`` whose instance is the pretended engine. Raises UnavailableError."""
    document = {
        "metadata": {"name": name, "instance": 1, "cpu": 1, "memory": 512},
        "containers": [{"image": "any:1", "script": f"{sys.executable} {ENGINE}{options}", "port": 8000}],
        "labels": {"ServiceEngineType": "chat-llm"},
        **(more or {}),
    }
    answer = api.post("/api/v2/services", json=document)
    if answer.is_error:
        raise UnavailableError(answer.text)
    token = wait_until(lambda: find_token(api, name), f"{name} runs", 60)
    path = f"/api/predict/{name}/v1/chat/completions"
    return Target(port, path, name, {"Authorization": f"Bearer {token}"})


def make_limited_key(api: httpx.Client) -> dict[str, str]:
    """Headers with an API key that has limits, in a workspace that has some: far more than is asked for, but counted.

    Raises UnavailableError.
    """
    limits = {"RequestsPerMinute": 100_000_000, "TokensPerDay": 100_000_000_000}
    answers = (
        api.patch("/api/v2/workspaces/default/limits", json=limits),
        api.post("/api/v2/api-keys", json={"Name": "bench", "WorkspaceId": "default", "Limits": limits}),
    )
    for answer in answers:
        if answer.is_error:
            raise UnavailableError(answer.text)
    return {"Authorization": f"Bearer {answers[-1].json()['ApiKeySecret']}"}


def find_token(api: httpx.Client, name: str) -> str | None:
    """The token of a service that runs. Raises UnavailableError once it has failed."""
    described = api.get(f"/api/v2/services/local/{name}").json()
    if described.get("Status") == "Failed":
        raise UnavailableError(f"{name} failed: {described.get('Message')}")
    return str(described["AccessToken"]) if described.get("Status") == "Running" else None


def launch(command: list[str], log: Path, variables: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
    """Start a program in a session of its own, its words in ``log``."""
    with log.open("ab") as file:
        return subprocess.Popen(
            command,
            env={**os.environ, **(variables or {})},
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def wait_http(
    process: subprocess.Popen[bytes],
    log: Path,
    port: int,
    path: str,
    headers: dict[str, str] | None = None,
    seconds: float = 60.0,
) -> None:
    """Until ``path`` is answered with 200. Raises UnavailableError with the program's last words."""
    ends_at = time.monotonic() + seconds
    while process.poll() is None and time.monotonic() < ends_at:
        with httpx.Client(trust_env=False) as client:
            try:
                if client.get(f"http://127.0.0.1:{port}{path}", headers=headers, timeout=5).status_code == 200:
                    return
            except httpx.TransportError:
                pass
        time.sleep(0.1)
    words = re.sub(r"\s+", " ", log.read_text(errors="replace")[-400:])
    ended = f"ended with {process.poll()}" if process.poll() is not None else f"did not answer within {seconds:.0f} s"
    raise UnavailableError(f"it {ended}: {words}")


def engine_stats(arm: Arm) -> dict[str, object]:
    """What ``fake_engine`` counts, of the arm's own engine."""
    return run(get_json(arm.engine_port, "/stats"))

"""What the gateway's tests stand on: a real server, real engines, and rows as reconcile would write them."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx
from aiohttp import web
from django.conf import settings
from django.db import connection
from django.utils import timezone

from console.supervisor.layout import HTTP_PROTOCOL, WEBSOCKET_PROTOCOL
from deployments.encryption import decrypt, encrypt, new_service_token
from deployments.models import Instance, Revision, Service, Status, Workspace
from tests.inference_gateway.serving_thread import AppThread
from tests.ports import free_port
from tests.waiting import wait_until

ROOT = Path(__file__).resolve().parent.parent.parent
MODEL = "SmolLM2-135M-Instruct"
WEBUI = f"python webui/webui_server.py --port=8000 --model-path={MODEL} --temperature=0 --max-new-tokens=48"
_numbers = itertools.count(1)


def database_url() -> str:
    """The test database as another process is told of it."""
    name = str(connection.settings_dict["NAME"])
    if connection.vendor == "sqlite":
        return f"sqlite:///{name}"
    given = urlsplit(os.environ["TEST_DATABASE_URL"])
    return given._replace(path=f"/{name}").geturl()


class Server:
    """uvicorn with Slipway's own application and the supervisor's own switches; ``variables`` are settings beside."""

    #: By name, as uvicorn takes them.
    application = "console.asgi:application"
    http_protocol = HTTP_PROTOCOL
    websocket_protocol = WEBSOCKET_PROTOCOL
    log_level = "warning"
    options: tuple[str, ...] = ()

    def __init__(self, **variables: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.variables = variables
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.process = self.launch("--port", str(self.port))
        wait_until(self._answers, "the server answers", 30)

    def launch(self, *where: str, inherited: tuple[int, ...] = ()) -> subprocess.Popen[bytes]:
        """One process that listens there."""
        environment = {
            "PATH": os.environ["PATH"],
            "SLIPWAY_DATA_DIR": str(settings.SLIPWAY_DATA_DIR),
            "DATABASE_URL": database_url(),
            "REDIS_URL": settings.SLIPWAY_REDIS_URL,
            **self.variables,
        }
        command = [sys.executable, "-m", "uvicorn", self.application, *where]
        command += [
            "--loop",
            "uvloop",
            "--http",
            self.http_protocol,
            "--ws",
            self.websocket_protocol,
            "--lifespan",
            "on",
        ]
        command += ["--timeout-graceful-shutdown", "10", "--log-level", self.log_level, *self.options]
        log = (settings.SLIPWAY_DATA_DIR / "server.log").open("ab")
        with log:
            return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log, pass_fds=inherited)

    @property
    def log(self) -> str:
        """What this and earlier servers of the session wrote."""
        return (settings.SLIPWAY_DATA_DIR / "server.log").read_text(encoding="utf-8")

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (settings.SLIPWAY_DATA_DIR / "server.log").read_text()[-3000:]
        with contextlib.suppress(httpx.TransportError):
            return httpx.get(f"{self.url}/v1/nothing", timeout=5).status_code == 404
        return False


OneServer = TypeVar("OneServer", bound=Server)


@contextlib.contextmanager
def serving_file(server: OneServer, blocker: Any) -> Iterator[OneServer]:
    """The server for the tests of a file; ``blocker`` is pytest-django's, which keeps longer fixtures off databases."""
    with blocker.unblock():
        server.start()
    try:
        yield server
    finally:
        server.kill()


@contextlib.contextmanager
def running_runtime(*flags: str) -> Iterator[int]:
    """The chat-llm runtime with the bundled model; its port."""
    port = free_port()
    command = [sys.executable, "-m", "inference_gateway.runtime.webui_server", f"--port={port}", *flags]
    log = (settings.SLIPWAY_DATA_DIR / "runtime.log").open("ab")
    with log:
        process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)
    try:
        wait_until(lambda: _is_loaded(process, port), "the model is loaded", 60)
        yield port
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _is_loaded(process: subprocess.Popen[bytes], port: int) -> bool:
    assert process.poll() is None, (settings.SLIPWAY_DATA_DIR / "runtime.log").read_text()[-3000:]
    with contextlib.suppress(httpx.TransportError):
        return httpx.get(f"http://127.0.0.1:{port}/health", timeout=5).status_code == 200
    return False


class EndlessEngine(AppThread):
    """An OpenAI-style engine that writes ``word`` for ever and knows who is still listening.

    After ``ends_after`` words it ends an answer; 0 means never. ``asked`` keeps the bodies that it was sent.
    """

    def __init__(self, served: str = "served-name") -> None:
        super().__init__(free_port())
        self.served = served
        self.ends_after = 0
        self.asked: list[dict[str, Any]] = []
        self.active = 0

    def make_app(self) -> web.Application:
        app = web.Application()
        app.router.add_post("/v1/chat/completions", self._generate)
        app.router.add_get("/v1/models", self._list)
        return app

    async def _list(self, request: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [{"id": self.served, "object": "model"}]})

    async def _generate(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(await request.json())
        if not self.asked[-1].get("stream"):
            return await self._answer_at_once()
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        self.active += 1
        try:
            written = 0
            while not self.ends_after or written < self.ends_after:
                await response.write(b'data: {"choices":[{"index":0,"delta":{"content":"word "}}]}\n\n')
                written += 1
                await asyncio.sleep(0.02)
            end = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
            await response.write(end)
        finally:
            self.active -= 1
        return response

    async def _answer_at_once(self) -> web.Response:
        self.active += 1
        try:
            written = 0
            while not self.ends_after or written < self.ends_after:
                written += 1
                await asyncio.sleep(0.02)
        finally:
            self.active -= 1
        message = {"role": "assistant", "content": "word " * written}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        return web.json_response({"id": "1", "object": "chat.completion", "created": 1, "choices": [choice]})


@dataclass(frozen=True, slots=True)
class Deployed:
    """A service as it looks once deployed."""

    row: Service
    token: str
    url: str
    path: str

    @property
    def auth(self) -> dict[str, str]:
        return {"Authorization": self.token}

    def instance(self, number: int = 0) -> Instance:
        return self.row.instances.order_by("name")[number]


def deploy(
    server: Server, *ports: int, engine: str | None = "chat-llm", script: str = WEBUI, **document: Any
) -> Deployed:
    """A running service with one ready instance at each port."""
    name = f"svc_{os.getpid()}_{next(_numbers)}"
    workspace, _ = Workspace.objects.get_or_create(slug="default", defaults={"name": "Default"})
    token = new_service_token()
    row = Service.objects.create(
        name=name,
        workspace=workspace,
        token_encrypted=encrypt(token),
        status=Status.RUNNING,
        wanted_instances=len(ports),
    )
    whole = {
        "metadata": {"name": name, "instance": len(ports), **document.pop("metadata", {})},
        "containers": [{"image": "chat-llm-webui:3.0", "script": script, "port": 8000}],
        "labels": {"ServiceEngineType": engine} if engine else {},
        **document,
    }
    revision = Revision.objects.create(service=row, number=1, document=whole)
    Service.objects.filter(pk=row.pk).update(wanted_revision=revision, serving_revision=revision)
    row.refresh_from_db()
    for port in ports:
        add_instance(row, port)
    path = f"/api/predict/{name}"
    return Deployed(row, token, server.url + path, path)


def add_instance(service: Service, port: int) -> Instance:
    number = service.instances.count() + 1
    return Instance.objects.create(
        service=service,
        name=f"{service.name.replace('_', '-')}-{number}",
        revision_number=1,
        phase="Running",
        host="127.0.0.1",
        port=port,
        ready_at=timezone.now(),
    )


def token_of(service: Service) -> str:
    service.refresh_from_db()
    return decrypt(service.token_encrypted)


def resident_kib(server: Server) -> int:
    """Memory of the server's process."""
    assert server.process is not None
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0])

"""Services that fail in a way of their own, and the loop that looks at them until each says so."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from django.contrib.auth.models import User
from django.test import override_settings

from console.failure_card import find_card
from deployments import lifecycle
from deployments.clusters.kubernetes.settings import KubernetesSettings
from deployments.models import Service, Workspace
from deployments.reconcile import reconcile
from deployments.spec import ServiceSpec
from tests.waiting import stretch

#: Answers requests of any path that is a file, and 404 to others.
SERVES = "exec python3 -m http.server $PORT"


@dataclass(frozen=True)
class Case:
    """A service's document, laid over a small one that runs, and what is to be told of it."""

    name: str
    told: tuple[str, str, str]  # status, reason, cause
    words: str  # in the card's first sentence
    container: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)
    others: Mapping[str, Any] = field(default_factory=dict)  # at the document's top
    beside: Sequence[Mapping[str, Any]] = ()  # further containers
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def document(self) -> dict[str, Any]:
        metadata = {"name": self.name, "instance": 1, "memory": 128, "eas.termination_grace_period": 1}
        program = {"image": "tools:1", "port": 8000}
        if "command" not in self.container:
            program["script"] = SERVES
        containers = [program | dict(self.container), *map(dict, self.beside)]
        return {"metadata": metadata | dict(self.metadata), "containers": containers, **self.others}


@dataclass
class Bench:
    """Deploys cases and reconciles them as a worker would, each under the settings that its case asks for."""

    usual: KubernetesSettings
    services: dict[str, Service] = field(default_factory=dict)
    cases: dict[str, Case] = field(default_factory=dict)

    def deploy(self, *cases: Case) -> None:
        workspace = Workspace.objects.get_or_create(slug="default", defaults={"name": "Default"})[0]
        operator = self.operator()
        for case in cases:
            self.cases[case.name] = case
            with self.under(case):
                self.services[case.name] = lifecycle.create(workspace, operator, ServiceSpec.parse(case.document))

    def operator(self) -> User:
        return User.objects.filter(username="op").first() or User.objects.create_superuser("op", password="x")

    def under(self, case: Case) -> override_settings:
        usual = replace(self.usual, **case.settings)
        return override_settings(SLIPWAY_CLUSTER="kubernetes", SLIPWAY_KUBERNETES=usual)

    def look(self, name: str) -> Service:
        with self.under(self.cases[name]):
            reconcile(self.services[name].pk)
        return Service.objects.get(pk=self.services[name].pk)

    def wait(self, seconds: float) -> dict[str, tuple[str, str, str]]:
        """What each case is told to be once it is as expected, or when the time is over."""
        deadline = time.monotonic() + seconds * stretch()
        told: dict[str, tuple[str, str, str]] = {}
        while time.monotonic() < deadline:
            waiting = [name for name, case in self.cases.items() if told.get(name) != case.told]
            if not waiting:
                break
            for name in waiting:
                told[name] = told_of(self.look(name))
            time.sleep(0.5)
        return told

    def expected(self) -> dict[str, tuple[str, str, str]]:
        return {name: case.told for name, case in self.cases.items()}

    def remove(self, seconds: float = 60) -> None:
        """Delete them all, until nothing of them is left."""
        for name, service in self.services.items():
            row = Service.objects.filter(pk=service.pk).first()
            if row is not None:
                with self.under(self.cases[name]):
                    lifecycle.delete(row, self.operator())
        deadline = time.monotonic() + seconds * stretch()
        while self.services:
            assert time.monotonic() < deadline, f"still there: {sorted(self.services)}"
            for name in list(self.services):
                with self.under(self.cases[name]):
                    reconcile(self.services[name].pk)
                if not Service.objects.filter(pk=self.services[name].pk).exists():
                    del self.services[name], self.cases[name]
            time.sleep(0.3)


def told_of(service: Service) -> tuple[str, str, str]:
    """Status, reason and the cause of the card that the Overview shows; "" where it shows none."""
    card = find_card(service, list(service.events.order_by("-pk")[:20]))
    return str(service.status), service.reason, card.event.cause if card else ""


class Registry(BaseHTTPRequestHandler):
    """A registry of images that has none: it says so in the ways in which registries do."""

    def answer(self) -> None:
        status, code = {"denied": (401, "UNAUTHORIZED"), "broken": (503, "UNAVAILABLE")}.get(
            self.path.split("/")[2] if self.path.count("/") > 1 else "", (404, "MANIFEST_UNKNOWN")
        )
        body = json.dumps({"errors": [{"code": code, "message": code.lower().replace("_", " ")}]}).encode()
        self.send_response(200 if self.path == "/v2/" else status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_HEAD = answer  # noqa: N815 - the library's names

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the test's own output is enough."""


@contextmanager
def registry() -> Iterator[str]:
    """Its address, which the node of this machine's cluster reaches without TLS."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Registry)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"localhost:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()

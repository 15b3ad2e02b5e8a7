"""Traces, where a collector is named: within the caller's trace, and with the engine's below them.

``make test`` has no OpenTelemetry, so what needs it is skipped there; with the extra ``tracing`` on the path it runs.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import httpx
import pytest
import websocket
from aiohttp import web

from inference_gateway.monitoring.tracing import LAST_SECONDS
from tests.inference_gateway.asking import CHAT
from tests.inference_gateway.rig import Deployed, EndlessEngine, Server, deploy, serving_file
from tests.inference_gateway.serving_thread import AppThread
from tests.ports import free_port
from tests.waiting import stretch, wait_until

pytestmark = pytest.mark.timeout(120)
HAS_EXTRA = importlib.util.find_spec("opentelemetry") is not None
needs_extra = pytest.mark.skipif(not HAS_EXTRA, reason="the extra tracing is not installed")
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
CALLER = {"traceparent": f"00-{TRACE}-{PARENT}-01", "tracestate": "vendor=1"}
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
QUESTION = "canary-of-a-question"


class Collector(AppThread):
    """Takes spans by OTLP over HTTP, as a collector does. ``fails`` has it answer 503."""

    def __init__(self) -> None:
        super().__init__(free_port())
        self.spans: list[Any] = []
        self.resources: list[dict[str, str]] = []
        self.asked = 0
        self.fails = False

    def make_app(self) -> web.Application:
        app = web.Application()
        app.router.add_post("/v1/traces", self._take)
        return app

    async def _take(self, request: web.Request) -> web.Response:
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

        self.asked += 1
        if self.fails:
            return web.Response(status=503)
        told = ExportTraceServiceRequest.FromString(await request.read())
        for one in told.resource_spans:
            self.resources.append({pair.key: pair.value.string_value for pair in one.resource.attributes})
            self.spans += [span for scope in one.scope_spans for span in scope.spans]
        return web.Response(content_type="application/x-protobuf")

    def wait_for(self, service: Deployed, count: int) -> list[Any]:
        """The spans of a service, of which there are so many."""

        def find() -> list[Any]:
            return [one for one in self.spans if attributes_of(one)["gen_ai.request.model"] == service.row.name]

        wait_until(lambda: len(find()) >= count, f"{count} spans have come", 20)
        assert len(find()) == count
        return find()


def attributes_of(span: Any) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in span.attributes}


class Hearing(EndlessEngine):
    """Keeps the headers of its questions, too, whatever their path."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[dict[str, str]] = []
        self.ends_after = 2

    def make_app(self) -> web.Application:
        @web.middleware
        async def note(request: web.Request, handler: Handler) -> web.StreamResponse:
            if request.method == "POST":
                self.heard.append({name.lower(): value for name, value in request.headers.items()})
            return await handler(request)

        app = super().make_app()
        app.middlewares.append(note)
        app.router.add_post("/anything", self._generate)
        return app


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with Collector() as collector:
        yield collector


@pytest.fixture(scope="module")
def tracing_server(collector: Collector, shared_server: Server, django_db_blocker: Any) -> Iterator[Server]:
    variables = {"OTEL_BSP_SCHEDULE_DELAY": "100", "PYTHONPATH": os.environ.get("PYTHONPATH", "")}
    server = Server(SLIPWAY_OTLP_ENDPOINT=f"http://127.0.0.1:{collector.port}", **variables)
    with serving_file(server, django_db_blocker):
        yield server


@pytest.fixture
def traced(tracing_server: Server, transactional_db: None) -> Server:
    return tracing_server


@pytest.fixture
def engine() -> Iterator[Hearing]:
    with Hearing() as engine:
        yield engine


def ask(service: Deployed, rest: str, headers: dict[str, str], **fields: Any) -> httpx.Response:
    body = {"messages": [{"role": "user", "content": QUESTION}], "prompt": QUESTION, "max_tokens": 9, "model": "m"}
    del body["prompt" if rest else "messages"]
    return httpx.post(service.url + rest, json=body | fields, headers=service.auth | headers, timeout=60)


@needs_extra
@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("rest", "operation"),
    [(CHAT, "chat"), ("", "chat"), ("/v1/messages", "chat"), ("/anything", "call")],
)
def test_a_request_is_a_span_between_its_caller_s_and_its_engine_s(
    traced: Server, collector: Collector, engine: Hearing, rest: str, operation: str, *, stream: bool
) -> None:
    service = deploy(traced, engine.port, engine=None if rest == "/anything" else "chat-llm")
    fields = {"use_stream_chat": stream} if not rest else {"stream": stream}
    answer = ask(service, rest, CALLER, **fields)
    assert answer.status_code == 200
    (span,) = collector.wait_for(service, 1)
    assert (span.trace_id.hex(), span.parent_span_id.hex()) == (TRACE, PARENT)
    assert span.name == f"{operation} {service.row.name}"
    assert 0 < span.end_time_unix_nano - span.start_time_unix_nano < 60 * 10**9
    told = attributes_of(span)
    assert told["gen_ai.operation.name"] == operation
    assert (told["gen_ai.provider.name"], told["gen_ai.request.model"]) == ("slipway", service.row.name)
    assert (told["http.response.status_code"], told["slipway.ending"]) == (200, "finished")
    assert told["slipway.request_id"] == answer.headers["x-request-id"]
    assert "error.type" not in told
    if rest == CHAT and stream:
        assert told["gen_ai.usage.output_tokens"] > 0
        assert 0 < told["slipway.first_token_seconds"] < 60
    assert QUESTION not in str(span)
    assert service.token not in str(span)
    (heard,) = engine.heard
    assert heard["traceparent"] == f"00-{TRACE}-{span.span_id.hex()}-01"
    assert heard["tracestate"] == "vendor=1"
    assert collector.resources[-1]["service.name"] == "slipway-gateway"


@needs_extra
def test_without_a_caller_s_context_each_request_is_a_trace_of_its_own(
    traced: Server, collector: Collector, engine: Hearing
) -> None:
    service = deploy(traced, engine.port)
    for context in ({}, {"traceparent": "nonsense"}, {"traceparent": "00-" + "0" * 32 + "-" + "0" * 16 + "-01"}):
        with httpx.Client() as client:  # both on one connection
            for _ in range(2):
                body = {"messages": [{"role": "user", "content": "x"}]}
                client.post(service.url + CHAT, json=body, headers=service.auth | context, timeout=60)
    spans = collector.wait_for(service, 6)
    assert all(span.parent_span_id == b"" for span in spans)
    assert len({span.trace_id for span in spans}) == 6
    parents = {heard["traceparent"].split("-")[2] for heard in engine.heard}
    assert parents == {span.span_id.hex() for span in spans}


@needs_extra
def test_each_round_of_a_dialogue_is_a_span(traced: Server, collector: Collector, engine: Hearing) -> None:
    service = deploy(traced, engine.port)
    dialogue = websocket.create_connection(service.url.replace("http", "ws", 1), header=service.auth | CALLER)
    for _ in range(2):
        dialogue.send(json.dumps({"prompt": "x"}))
        while dialogue.recv() != "<EOS>":
            pass
    dialogue.close()
    spans = collector.wait_for(service, 2)
    assert {span.trace_id.hex() for span in spans} == {TRACE}
    assert [heard["traceparent"].split("-")[2] for heard in engine.heard] == [span.span_id.hex() for span in spans]


@needs_extra
def test_what_failed_is_an_error_and_who_is_not_let_in_has_no_span(traced: Server, collector: Collector) -> None:
    from opentelemetry.proto.trace.v1.trace_pb2 import Status

    service = deploy(traced, free_port())
    assert ask(service, CHAT, {"Authorization": "wrong"}).status_code == 401
    assert ask(service, CHAT, {}).status_code == 503
    (span,) = collector.wait_for(service, 1)
    told = attributes_of(span)
    assert (told["error.type"], told["http.response.status_code"]) == ("no_healthy_upstream", 503)
    assert told["slipway.ending"] == "refused"
    assert span.status.code == Status.STATUS_CODE_ERROR


@needs_extra
def test_a_collector_that_is_away_costs_no_request_anything(
    traced: Server, collector: Collector, engine: Hearing
) -> None:
    service = deploy(traced, engine.port)
    collector.fails = True
    asked = collector.asked
    try:
        wait_until(lambda: ask(service, CHAT, {}).status_code == 200 and collector.asked > asked, "it was asked", 20)
        assert ask(service, CHAT, {}).status_code == 200
    finally:
        collector.fails = False


@needs_extra
@pytest.mark.parametrize("is_away", [False, True])
def test_a_server_that_ends_sends_what_it_has_and_waits_for_no_collector_that_is_away(
    collector: Collector, shared_server: Server, transactional_db: None, engine: Hearing, *, is_away: bool
) -> None:
    variables = {"OTEL_BSP_SCHEDULE_DELAY": "600000", "PYTHONPATH": os.environ.get("PYTHONPATH", "")}
    server = Server(SLIPWAY_OTLP_ENDPOINT=f"http://127.0.0.1:{collector.port}", **variables)
    server.start()
    try:
        service = deploy(server, engine.port)
        assert ask(service, CHAT, CALLER).status_code == 200
        collector.fails = is_away
        assert server.process is not None
        server.process.terminate()
        server.process.wait((10 + LAST_SECONDS) * stretch())
        if not is_away:
            assert len(collector.wait_for(service, 1)) == 1
    finally:
        collector.fails = False
        server.kill()


def test_by_default_nothing_is_traced_and_a_caller_s_context_is_passed_on_where_all_is(
    server: Server, engine: Hearing
) -> None:
    assert ask(deploy(server, engine.port), CHAT, CALLER).status_code == 200
    assert ask(deploy(server, engine.port, engine=None), "/anything", CALLER).status_code == 200
    assert "traceparent" not in engine.heard[0]
    assert engine.heard[1]["traceparent"] == CALLER["traceparent"]


@pytest.mark.skipif(HAS_EXTRA and "PYTHONPATH" not in os.environ, reason="the extra tracing is installed")
def test_where_the_extra_is_missing_the_log_says_so_and_requests_are_answered(
    shared_server: Server, transactional_db: None, engine: Hearing
) -> None:
    server = Server(SLIPWAY_OTLP_ENDPOINT="http://127.0.0.1:9")
    before = len(shared_server.log)
    server.start()
    try:
        assert ask(deploy(server, engine.port), CHAT, CALLER).status_code == 200
        assert re.search(r"traces are wanted, but opentelemetry\S* is missing", server.log[before:])
    finally:
        server.kill()

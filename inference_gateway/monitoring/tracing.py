"""A span for each request to a service, in OpenTelemetry's conventions for generative AI, sent by OTLP over HTTP.

Off unless ``SLIPWAY_OTLP_ENDPOINT`` or OpenTelemetry's own variable names a collector, and the extra ``tracing`` is
installed. OpenTelemetry's other variables (sampler, headers, resource) count as they do everywhere. Spans are gathered
on the way and sent by a thread; a collector that is away costs no request anything. Never a prompt or a token.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from typing import TYPE_CHECKING

from inference_gateway.accounts import Account, Ending
from inference_gateway.calls import Call
from inference_gateway.http import find_header
from inference_gateway.monitoring.exposition import PROVIDER
from inference_gateway.trace_context import NAMES, incoming, outgoing

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

logger = logging.getLogger(__name__)

SERVICE_NAME = "slipway-gateway"
LAST_SECONDS = 3.0


def open_tracing(endpoint: str | None) -> Tracing | None:
    """None where nobody wants traces, or nobody can make them: then the log says what is missing."""
    if endpoint is None:
        return None
    try:
        # Late: an extra, and a second of loading.
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        logger.warning("traces are wanted, but %s is missing: install Slipway with its extra tracing", error.name)
        return None
    named = {} if "OTEL_SERVICE_NAME" in os.environ else {"service.name": SERVICE_NAME}
    provider = TracerProvider(resource=Resource.create(named), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces")))
    return Tracing(provider)


class Tracing:
    """A listener of accounts. One a process."""

    def __init__(self, provider: TracerProvider) -> None:
        from opentelemetry import trace
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._provider = provider
        self._trace = trace
        self._tracer = provider.get_tracer("slipway")
        self._propagator = TraceContextTextMapPropagator()

    def begin(self, call: Call) -> None:
        """Note of what trace a request is a part."""
        found = ((name, find_header(call.scope, name.encode("ascii"))) for name in NAMES)
        incoming.set({name: value for name, value in found if value})

    def opened(self, account: Account) -> None:
        account.span = self._tracer.start_span(
            f"{account.operation} {account.service.name}",
            context=self._propagator.extract(incoming.get()),
            kind=self._trace.SpanKind.SERVER,
            attributes={
                "gen_ai.operation.name": account.operation,
                "gen_ai.provider.name": PROVIDER,
                # As in the metrics: what callers write is no attribute.
                "gen_ai.request.model": account.service.name,
                "slipway.request_id": account.request_id,
            },
        )
        told: dict[str, str] = {}
        self._propagator.inject(told, context=self._trace.set_span_in_context(account.span))
        outgoing.set(told)

    def closed(self, account: Account) -> None:
        span = account.span
        if span is None:
            return
        prompt, completion = account.used
        attributes: dict[str, str | int | float] = {
            "gen_ai.usage.input_tokens": prompt,
            "gen_ai.usage.output_tokens": completion,
            "http.response.status_code": account.status,
            "slipway.ending": str(account.ending),
        }
        if account.is_stream and account.first_token_at is not None:
            attributes["slipway.first_token_seconds"] = round(account.first_token_at - account.began_at, 6)
        if account.error_code or account.status >= 500:
            attributes["error.type"] = account.error_code or str(account.status)
        span.set_attributes(attributes)
        if account.ending is Ending.FAILED or account.status >= 500:
            span.set_status(self._trace.StatusCode.ERROR)
        span.end()

    async def end(self) -> None:
        """Send what is left, for so long as a server that ends may take for it."""
        sending = threading.Thread(target=self._provider.shutdown, daemon=True)
        sending.start()
        await asyncio.to_thread(sending.join, LAST_SECONDS)

"""Traces by OpenTelemetry: one span for each request that is asked by POST, exported as OTLP over HTTP.

What the environment says in OpenTelemetry's standard variables (OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_TRACES_SAMPLER,
OTEL_SERVICE_NAME, OTEL_BSP_MAX_QUEUE_SIZE, ...) holds; that there are traces at all is asked for, never found there. A
span joins the trace that the client names (`traceparent`, W3C Trace Context) and is named to it in turn
(`traceresponse`, its level 2). Spans wait in a bounded queue for a thread of their own, and where it is full the oldest
are dropped: no request waits for a collector.
"""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import os
import threading
import time
from contextlib import suppress
from importlib.metadata import version
from typing import TYPE_CHECKING, NamedTuple

from pileus.errors import MissingExtra, UsageError

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.trace import Span

    from pileus.serving.connection import Request

_log = logging.getLogger(__name__)
_LIBRARIES = {
    "opentelemetry.sdk": "opentelemetry-sdk",
    "opentelemetry.exporter.otlp.proto.http": "opentelemetry-exporter-otlp-proto-http",
}
_FLUSH_S = 2.0
"""At the end, for what has not yet been exported."""
_FAULTS_FROM = 500


class SpanOfRequest(NamedTuple):
    """A connection.Trace, from the head of its request on."""

    id: str
    """32 hexadecimal digits."""
    line: bytes
    """Of the answer's head, ended by CR LF."""
    span: Span


def check_traces() -> None:
    """MissingExtra where the libraries are not installed. Imports none of them."""
    for module, library in _LIBRARIES.items():
        found = None
        with suppress(ModuleNotFoundError):  # a package above it is missing
            found = importlib.util.find_spec(module)
        if found is None:
            raise MissingExtra("telling traces", library, "otel")


class Traces:
    """Of one process that serves: it has a thread, so it is made after the last fork.

    MissingExtra; UsageError where a variable of OpenTelemetry says what cannot be.
    """

    def __init__(self) -> None:
        check_traces()
        # Imported where traces are asked for: nobody else pays for it, and this is the one adapter of the extra otel.
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
        from opentelemetry.trace import SpanKind, StatusCode  # noqa: PLC0415
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator  # noqa: PLC0415

        resource = Resource.create().merge(Resource({"process.pid": os.getpid()}))
        if not _is_named(resource):
            resource = resource.merge(Resource({"service.name": "pileus", "service.version": version("pileus")}))
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        try:
            self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        except ValueError as error:
            raise UsageError(f"a variable OTEL_... cannot be used: {error}; correct it, or leave it out.") from error
        self._tracer = self._provider.get_tracer("pileus.serving", version("pileus"))
        self._extract = TraceContextTextMapPropagator().extract
        self._kind, self._error = SpanKind.SERVER, StatusCode.ERROR

    def begin(self, request: Request, route: str) -> SpanOfRequest:
        """When the head is whole."""
        given = {name: request.headers.get(name.encode(), b"").decode("latin-1") for name in _CONTEXT}
        method = request.method.decode("latin-1")
        span = self._tracer.start_span(
            f"{method} {route}",
            context=self._extract(given) if given["traceparent"] else None,
            kind=self._kind,
            start_time=_wall_ns(request.started),
            attributes={
                "http.request.method": method,
                "http.route": route,
                "url.path": request.path.decode("latin-1"),
                "url.scheme": "http",
                "pileus.request_id": request.id.decode(),
            },
        )
        context = span.get_span_context()
        if not context.is_valid:  # OTEL_SDK_DISABLED
            return SpanOfRequest("", b"", span)
        trace, own = f"{context.trace_id:032x}", f"{context.span_id:016x}"
        line = f"traceresponse: 00-{trace}-{own}-{context.trace_flags:02x}\r\n"
        return SpanOfRequest(trace, line.encode(), span)

    def end(self, request: Request, status: int, now: float, model_version: str) -> None:
        """`now` by time.monotonic."""
        if not isinstance(request.trace, SpanOfRequest) or not request.trace.span.is_recording():
            return
        span, way = request.trace.span, request.way
        span.set_attribute("http.response.status_code", status)
        if status >= _FAULTS_FROM:
            span.set_status(self._error)
            span.set_attribute("error.type", str(status))
        if model_version:
            span.set_attribute("pileus.model.version", model_version)
        if way is not None:
            span.set_attribute("pileus.queue_s", way.sent_at - request.started)
            span.set_attribute("pileus.batch.questions", way.questions)
            span.set_attribute("pileus.batch.images", way.images)
            span.set_attribute("pileus.batch.compute_s", way.compute_s)
            span.set_attribute("pileus.predictor.pid", way.predictor)
        span.end(_wall_ns(now))

    async def close(self) -> None:
        """Exports what waits, if that is soon done."""
        ended = asyncio.Event()
        loop = asyncio.get_running_loop()

        def shut_down() -> None:
            self._provider.shutdown()
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(ended.set)

        threading.Thread(target=shut_down, name="pileus-traces-end", daemon=True).start()
        try:
            await asyncio.wait_for(ended.wait(), _FLUSH_S)
        except TimeoutError:
            _log.warning("the collector of traces does not answer; the last ones are dropped")


_CONTEXT = ("traceparent", "tracestate")


def _is_named(resource: Resource) -> bool:
    """By the environment."""
    return not str(resource.attributes["service.name"]).startswith("unknown_service")


def _wall_ns(at: float) -> int:
    """From time.monotonic to what spans are told in."""
    return time.time_ns() - int((time.monotonic() - at) * 1e9)

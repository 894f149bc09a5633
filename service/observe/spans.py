"""A request as OpenTelemetry spans: one for it, and below it one a stage. The only user of its SDK.

They are made once the answer is sent, from the seconds that its ``timing`` was made of, laid end to
end from when the request began: so spans, timing and metrics can't disagree. A stage that was done
in parts (a request that rode in several batches) is one span, as long as the parts.
"""

from __future__ import annotations

import logging
import threading
import time
from importlib.metadata import version

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    TraceState,
    format_trace_id,
    set_span_in_context,
)
from opentelemetry.util.types import AttributeValue

from service.observe.exchange import Exchange
from service.observe.metrics import OTHER
from service.observe.timing import now
from service.observe.traceparent import TraceParent, members

logger = logging.getLogger("lockstep.spans")

SERVICE = "lockstep"
NANOSECONDS = 1_000_000_000


class Spans:
    """Makes spans; a thread of the SDK sends them in batches, and drops what it can't keep up with.

    Endpoint, headers, timeouts, sampler, batch and queue are the SDK's own variables (OTEL_…); by
    default the client's decision to sample is followed, and everything else is sampled.
    """

    def __init__(self) -> None:
        # Nothing runs at exit: `close` is called, with a bound, and the SDK's own has none.
        self._provider = TracerProvider(resource=_resource(), shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer(SERVICE, version(SERVICE))

    def record(self, exchange: Exchange) -> None:
        """Makes a request's spans, where it is sampled, and notes the trace they are in."""
        # The stamps are of one clock and the SDK wants another's: one difference for all of them.
        offset = time.time_ns() - round(now() * NANOSECONDS)
        at = offset + round(exchange.began * NANOSECONDS)
        request = self._tracer.start_span(
            _name(exchange),
            context=_context(exchange.parent),
            kind=SpanKind.SERVER,
            attributes=_attributes(exchange),
            start_time=at,
        )
        if not request.is_recording():
            return
        exchange.trace_id = format_trace_id(request.get_span_context().trace_id)
        below, passed = set_span_in_context(request), 0.0
        for stage, seconds in (exchange.stages or {}).items():
            start = at + round(passed * NANOSECONDS)
            passed += seconds
            stage_span = self._tracer.start_span(stage, context=below, start_time=start)
            stage_span.end(at + round(passed * NANOSECONDS))
        if exchange.code >= 500:  # a client's mistake isn't an error of a server's span
            request.set_status(Status(StatusCode.ERROR))
        request.end(at + round((passed or exchange.total_seconds or 0.0) * NANOSECONDS))

    def close(self, seconds: float) -> None:
        """Sends what is left, for that long at most; what isn't sent by then is lost."""
        thread = threading.Thread(target=self._provider.shutdown, name="spans-close", daemon=True)
        thread.start()
        thread.join(seconds)
        if thread.is_alive():
            logger.warning("the collector took longer than %g s: spans were lost", seconds)


def _resource() -> Resource:
    """Who sends: the variables' word first (OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES)."""
    ours = Resource({"service.name": SERVICE, "service.version": version(SERVICE)})
    theirs = Resource.create()
    if str(theirs.attributes["service.name"]).startswith("unknown_service"):  # nobody's word
        return theirs.merge(ours)
    return ours.merge(theirs)


def _name(exchange: Exchange) -> str:
    """Semantic conventions, HTTP spans: ``{method} {http.route}``; HTTP for an unknown method."""
    method = "HTTP" if exchange.method == OTHER else exchange.method
    return method if exchange.route == OTHER else f"{method} {exchange.route}"


def _attributes(exchange: Exchange) -> dict[str, AttributeValue]:
    """Of the conventions for HTTP servers, but for ``url.path``: it may hold a client's words."""
    found: dict[str, AttributeValue | None] = {
        "http.request.method": "_OTHER" if exchange.method == OTHER else exchange.method,
        "http.route": None if exchange.route == OTHER else exchange.route,
        "http.response.status_code": exchange.code,
        "url.scheme": exchange.scheme,
        "error.type": exchange.error or str(exchange.code) if exchange.code >= 500 else None,
        "lockstep.request_id": exchange.id,
        "lockstep.model": exchange.model,
        "lockstep.batch_size": exchange.batch_size,
        "lockstep.tokens": exchange.tokens,
    }
    return {name: value for name, value in found.items() if value is not None}


def _context(parent: TraceParent | None) -> Context:
    """Where the request's span stands: below the client's, or nowhere."""
    if parent is None:
        return Context()
    client = SpanContext(
        trace_id=int(parent.trace_id, 16),
        span_id=int(parent.parent_id, 16),
        is_remote=True,
        trace_flags=TraceFlags(parent.flags),
        trace_state=TraceState(members(parent.state)),
    )
    return set_span_in_context(NonRecordingSpan(client), Context())

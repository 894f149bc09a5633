"""A request's spans: their times, their family, their names; what the client's flag decides."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from service.observe import spans as module
from service.observe.exchange import Exchange
from service.observe.spans import Spans
from service.observe.timing import STAGES, now
from service.observe.traceparent import TraceParent

SECONDS = dict(zip(STAGES, (0.0001, 0.00025, 0.003, 0.00005, 0.0123, 0.0004), strict=True))
PARENT = TraceParent("ab" * 16, "cd" * 8, flags=1, state="rojo=1,congo=2")


class StuckExporter(SpanExporter):
    """Never done before it is let go."""

    def __init__(self) -> None:
        self.let_go = threading.Event()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.let_go.wait()
        return SpanExportResult.FAILURE

    def shutdown(self) -> None: ...


@pytest.fixture
def exporter(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    made = InMemorySpanExporter()
    monkeypatch.setattr(module, "OTLPSpanExporter", lambda: made)
    for name in ("OTEL_TRACES_SAMPLER", "OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES"):
        monkeypatch.delenv(name, raising=False)
    return made


def answered(parent: TraceParent | None = None) -> Exchange:
    exchange = Exchange("id-1", "/v1/classify", now() - 1, method="POST", model="lstm", code=200)
    exchange.parent = parent
    exchange.answered(SECONDS, batch_size=4, tokens=17)
    return exchange


def sent(exporter: InMemorySpanExporter, *exchanges: Exchange) -> dict[str, ReadableSpan]:
    """The spans of these, by name."""
    spans = Spans()
    for exchange in exchanges:
        spans.record(exchange)
    spans.close(10)
    return {span.name: span for span in exporter.get_finished_spans()}


def duration(span: ReadableSpan) -> int:
    assert span.start_time is not None
    assert span.end_time is not None
    return span.end_time - span.start_time


def test_stages_are_children_laid_end_to_end(exporter: InMemorySpanExporter) -> None:
    found = sent(exporter, answered())
    request = found.pop("POST /v1/classify")
    assert tuple(found) == STAGES
    edge = request.start_time
    for stage, span in found.items():
        assert span.parent is not None
        assert span.parent.span_id == request.context.span_id
        assert span.context.trace_id == request.context.trace_id
        assert (span.start_time, span.kind) == (edge, SpanKind.INTERNAL)
        assert duration(span) == pytest.approx(SECONDS[stage] * 1e9, abs=1)
        edge = span.end_time
    assert edge == request.end_time
    assert duration(request) == pytest.approx(sum(SECONDS.values()) * 1e9, abs=1)


def test_request_stands_at_its_own_time(exporter: InMemorySpanExporter) -> None:
    before = time.time_ns()
    request = sent(exporter, answered())["POST /v1/classify"]
    assert request.start_time is not None
    assert before - 1.5e9 < request.start_time < time.time_ns() - 0.9e9  # it began a second ago


def test_request_says_what_the_conventions_want(exporter: InMemorySpanExporter) -> None:
    request = sent(exporter, answered())["POST /v1/classify"]
    assert (request.kind, request.status.status_code) == (SpanKind.SERVER, StatusCode.UNSET)
    assert dict(request.attributes or {}) == {
        "http.request.method": "POST", "http.route": "/v1/classify", "url.scheme": "http",
        "http.response.status_code": 200, "lockstep.request_id": "id-1", "lockstep.model": "lstm",
        "lockstep.batch_size": 4, "lockstep.tokens": 17,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("code", "error", "status", "error_type"),
    [
        (422, "invalid", StatusCode.UNSET, None),
        (503, "worker_lost", StatusCode.ERROR, "worker_lost"),
        (500, None, StatusCode.ERROR, "500"),
    ],
)
def test_error_is_the_servers_alone(
    exporter: InMemorySpanExporter,
    code: int,
    error: str | None,
    status: StatusCode,
    error_type: str | None,
) -> None:
    failed = Exchange("id-2", "other", now(), total_seconds=0.25, code=code, error=error)
    (request,) = sent(exporter, failed).values()
    assert (request.name, duration(request)) == ("HTTP", 250_000_000)
    assert request.status.status_code is status
    assert (request.attributes or {}).get("error.type") == error_type
    assert (request.attributes or {})["http.request.method"] == "_OTHER"


def test_client_is_the_parent(exporter: InMemorySpanExporter) -> None:
    exchange = answered(PARENT)
    request = sent(exporter, exchange)["POST /v1/classify"]
    assert request.parent is not None
    assert (f"{request.parent.span_id:016x}", request.parent.is_remote) == (PARENT.parent_id, True)
    assert f"{request.context.trace_id:032x}" == exchange.trace_id == PARENT.trace_id
    assert dict(request.context.trace_state) == {"rojo": "1", "congo": "2"}


def test_client_that_does_not_sample_is_followed(exporter: InMemorySpanExporter) -> None:
    assert sent(exporter, answered(TraceParent("ab" * 16, "cd" * 8, 0, ""))) == {}


def test_new_trace_is_noted_for_the_log(exporter: InMemorySpanExporter) -> None:
    exchange = answered()
    request = sent(exporter, exchange)["POST /v1/classify"]
    assert exchange.trace_id == f"{request.context.trace_id:032x}"
    assert request.parent is None


def test_sampler_of_the_variables_decides(
    exporter: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_always_off")
    exchange = answered()
    found = sent(exporter, exchange, answered(PARENT))
    assert {f"{span.context.trace_id:032x}" for span in found.values()} == {PARENT.trace_id}
    assert exchange.trace_id is None  # of a trace that isn't kept


@pytest.mark.parametrize(
    ("variable", "name"),
    [
        ({}, "lockstep"),
        ({"OTEL_SERVICE_NAME": "sentiment"}, "sentiment"),
        ({"OTEL_RESOURCE_ATTRIBUTES": "service.name=mood,env=test"}, "mood"),
    ],
)
def test_service_is_named_by_the_variables_or_by_us(
    exporter: InMemorySpanExporter,
    monkeypatch: pytest.MonkeyPatch,
    variable: dict[str, str],
    name: str,
) -> None:
    for key, value in variable.items():
        monkeypatch.setenv(key, value)
    request = sent(exporter, answered())["POST /v1/classify"]
    assert request.resource.attributes["service.name"] == name
    assert request.resource.attributes["service.version"]


@pytest.fixture
def stuck(monkeypatch: pytest.MonkeyPatch) -> Iterator[StuckExporter]:
    made = StuckExporter()
    monkeypatch.setattr(module, "OTLPSpanExporter", lambda: made)
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "16")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "8")
    yield made
    made.let_go.set()


def test_stuck_collector_holds_up_neither_requests_nor_the_end(stuck: StuckExporter) -> None:
    spans = Spans()
    for _ in range(50):  # far more than the queue takes: the rest is dropped
        spans.record(answered())
    spans.close(0.1)
    assert not stuck.let_go.is_set()

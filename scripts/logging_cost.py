"""What a request's log line and its spans take, in µs of CPU.

    .venv/bin/python scripts/logging_cost.py

Each is the least of some rounds over one answered request, told again and again: a busy machine
only ever adds. The log goes into a pipe that another program reads, as a container's does; spans
are made and encoded as they are for a collector, and then dropped.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from service.observe import logs, spans, traceparent
from service.observe.exchange import Exchange
from service.observe.request_log import RequestLog
from service.observe.timing import STAGES, now

ROUNDS = 9
LINES = 5_000
SPANS = 250  # requests of 7 spans each: no more than the SDK's queue takes
HEADERS = [
    (b"host", b"localhost:8000"),
    (b"user-agent", b"curl/7.88.1"),
    (b"accept", b"*/*"),
    (b"content-type", b"application/json"),
    (b"content-length", b"85"),
    (b"traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
]


class Encoded(SpanExporter):
    """Does what sending does, but for the sending."""

    def export(self, batch: Sequence[ReadableSpan]) -> SpanExportResult:
        encode_spans(batch).SerializeToString()
        return SpanExportResult.SUCCESS


def microseconds(
    count: int, work: Callable[[], object], clock: Callable[[], float] = time.process_time
) -> float:
    rounds = []
    for _ in range(ROUNDS):
        began = clock()
        for _ in range(count):
            work()
        rounds.append((clock() - began) / count * 1e6)
    return min(rounds)


def answered(flags: int = 1) -> Exchange:
    exchange = Exchange(
        "01M82TV08PCKH7KQYQ1ZA76JSS", "/v1/classify", now(), method="POST", model="lstm", code=200
    )
    exchange.answered(dict.fromkeys(STAGES, 0.001234), batch_size=4, tokens=17)
    parent = traceparent.read(HEADERS)
    assert parent is not None
    exchange.parent = replace(parent, flags=flags)
    exchange.trace_id = "0af7651916cd43dd8448eb211c80319c"
    return exchange


def making(exchange: Exchange) -> float:
    """On the thread that answers."""
    made = spans.Spans()
    took = microseconds(SPANS, lambda: made.record(exchange), time.thread_time)
    made.close(60)
    return took


def making_and_encoding(exchange: Exchange) -> float:
    """On every thread."""
    rounds = []
    for _ in range(ROUNDS):
        made = spans.Spans()
        began = time.process_time()
        for _ in range(SPANS):
            made.record(exchange)
        made.close(60)
        rounds.append((time.process_time() - began) / SPANS * 1e6)
    return min(rounds)


def main() -> None:
    exchange = answered()
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as reader:
        assert reader.stdin is not None
        os.dup2(reader.stdin.fileno(), 2)
        logs.configure("info", "json")
        tell = RequestLog(every=True)
        line = microseconds(LINES, lambda: tell(exchange))
        tell = RequestLog(every=False)
        quiet = microseconds(LINES, lambda: tell(exchange))
        reader.terminate()
    header = microseconds(LINES, lambda: traceparent.read(HEADERS))
    spans.OTLPSpanExporter = Encoded  # type: ignore[assignment, misc]
    made, everywhere, unsampled = (
        making(exchange),
        making_and_encoding(exchange),
        making(answered(0)),
    )
    print(f"traceparent: {header:.1f} µs; log line: {line:.1f} µs, {quiet:.1f} where it is off")
    print(f"spans: {made:.0f} µs to make, {everywhere - made:.0f} more to encode on their thread")
    print(f"spans of a request that isn't sampled: {unsampled:.0f} µs")


if __name__ == "__main__":
    main()

"""A collector for a test: takes spans by OTLP over HTTP, or is as bad at it as asked."""

from __future__ import annotations

import gzip
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self, cast

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span


class Collector:
    """Listens for the length of a ``with``.

    Attributes:
        env: the variables that send a service's spans here, at once.
        hangs: takes batches and never answers.
        held: batches it hangs on.
    """

    def __init__(self) -> None:
        self.hangs = False
        self.held = 0
        self._let_go = threading.Event()
        self._spans: list[tuple[dict[str, Any], Span]] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._server.collector = self  # type: ignore[attr-defined]
        url = f"http://127.0.0.1:{self._server.server_port}"
        self.env = {"OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_BSP_SCHEDULE_DELAY": "50"}

    def spans(self, trace_id: str, count: int, seconds: float = 60) -> list[Span]:
        """Those of a trace, oldest first, once ``count`` have come; fewer if they don't in time."""
        deadline = time.monotonic() + seconds
        while True:
            found = [span for _, span in self._spans if span.trace_id.hex() == trace_id]
            if len(found) >= count or time.monotonic() > deadline:
                return sorted(found, key=lambda span: (span.start_time_unix_nano, span.kind != 2))
            time.sleep(0.02)

    def resources(self) -> list[dict[str, Any]]:
        """Whose spans came, each span's."""
        return [resource for resource, _ in self._spans]

    def take(self, body: bytes) -> None:
        """A batch came."""
        for one in ExportTraceServiceRequest.FromString(body).resource_spans:
            resource = attributes(one.resource)
            self._spans += [(resource, span) for scope in one.scope_spans for span in scope.spans]

    def hang(self) -> None:
        """Holds whoever calls until the end of the ``with``."""
        self.held += 1
        self._let_go.wait()

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._let_go.set()
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        collector = cast(Collector, self.server.collector)  # type: ignore[attr-defined]
        body = self.rfile.read(int(self.headers["content-length"]))
        if collector.hangs:
            collector.hang()
            self.close_connection = True
            return
        if self.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        right = self.path == "/v1/traces"
        right = right and self.headers["content-type"] == "application/x-protobuf"
        if right:
            collector.take(body)
        answer = ExportTraceServiceResponse().SerializeToString()
        self.send_response(200 if right else 400)
        self.send_header("content-type", "application/x-protobuf")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *arguments: Any) -> None: ...


def attributes(of: Any) -> dict[str, Any]:
    """The attributes of a resource or a span."""
    return {pair.key: _value(pair.value) for pair in of.attributes}


def _value(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    return None if kind is None else getattr(value, kind)

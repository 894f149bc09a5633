"""Every metric the service exports: names, labels, buckets. The only user of prometheus_client."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

from service.observe.timing import STAGES

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
OTHER = "other"  # a path that isn't ours, a model that was never determined

# 50 µs to 10 s, about a factor of 2 apart: a small classifier is done where the usual ones begin.
LATENCY_BUCKETS = (
    0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05,
    0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0,
)  # fmt: skip
TOKEN_BUCKETS = (16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384)
BATCH_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128)
SCORE_BUCKETS = tuple(step / 20 for step in range(1, 21))

LENGTH_EDGES = (16, 32, 64, 128, 256, 512, 1024, 2048)
BATCH_EDGES = (1, 4, 16)
REJECTIONS = (
    "busy", "deadline", "client_gone", "worker_lost", "not_ready", "too_large", "invalid",
    "unauthorized",
)  # fmt: skip


def bucket(value: int, edges: Sequence[int]) -> str:
    """The name of the range a value is in: ``1``, ``2-4``, ``5-16``, ``17+`` for edges 1, 4, 16."""
    below = 0
    for edge in edges:
        if value <= edge:
            return str(edge) if below + 1 == edge else f"{below + 1}-{edge}"
        below = edge
    return f"{below + 1}+"


class Metrics:
    """One process's metrics.

    Args:
        models: labels of each served model, by name: their series start at 0.
        routes: paths that are ours.
    """

    def __init__(self, models: Mapping[str, Sequence[str]], routes: Iterable[str]) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # second series, read by nobody
        self.registry = CollectorRegistry()
        self._request_duration = self._histogram(
            "request_duration_seconds",
            "Whole request, from its body's last byte to its answer",
            ["model", "route", "code"],
        )
        self._stage_duration = self._histogram(
            "stage_duration_seconds", "One stage of a request", ["model", "stage"]
        )
        self._forward_duration = self._histogram(
            "forward_duration_seconds",
            "Forward that a request rode in, once a request and batch",
            ["model", "schedule", "length_bucket", "batch_bucket"],
        )
        self._batch_forward_duration = self._histogram(
            "batch_forward_duration_seconds", "Forward, once a batch", ["model"]
        )
        self._flops = self._counter("model_flops", "Operations on real tokens", ["model"])
        self._forward_seconds = self._counter(
            "model_forward_seconds", "Seconds in forwards, once a batch", ["model"]
        )
        self._steps = self._counter(
            "sequential_steps", "Steps that waited for one another, once a batch", ["model"]
        )
        self._tokens = self._counter("tokens", "Real tokens computed", ["model"])
        self._padding = self._counter("padding_tokens", "Padding computed", ["model"])
        self._batch_size = self._histogram(
            "batch_size", "Windows of a batch", ["model"], BATCH_BUCKETS
        )
        self._request_tokens = self._histogram(
            "request_tokens", "Tokens of a text", ["model"], TOKEN_BUCKETS
        )
        self._unknown = self._counter("unknown_tokens", "Tokens not in the vocabulary", ["model"])
        self._truncated = self._counter("truncated_inputs", "Texts that were cut", ["model"])
        self._segments = self._counter("segments", "Windows of the texts", ["model"])
        self._predictions = self._counter("predictions", "Verdicts", ["model", "label"])
        self._scores = self._histogram(
            "prediction_score", "Probability of the verdict", ["model", "label"], SCORE_BUCKETS
        )
        self._in_flight = self._gauge("requests_in_flight", "Admitted, not answered", ["model"])
        self._rejections = self._counter("rejections", "Requests refused, by reason", ["reason"])
        self._busy = self._counter("worker_busy_seconds", "Seconds in batches", ["device"])
        self._restarts = self._counter("worker_restarts", "Workers started again", ["device"])
        self._load = self._gauge("model_load_seconds", "Reading and choosing a dtype", ["model"])
        self._model_info = self._gauge(
            "model_info", "What is served", ["model", "architecture", "device", "dtype", "version"]
        )
        self._build_info = self._gauge("build_info", "Versions", ["version", "litserve", "torch"])
        self._start_at_zero(models, list(routes))

    def request(self, model: str, route: str, code: int, seconds: float) -> None:
        """A request was answered, well or not."""
        self._request_duration.labels(model, route, str(code)).observe(seconds)

    def rejection(self, reason: str) -> None:
        """A request was refused; ``reason`` is one of REJECTIONS."""
        self._rejections.labels(reason).inc()

    def in_flight(self, model: str, change: int) -> None:
        """A request was admitted (1) or answered (-1)."""
        self._in_flight.labels(model).inc(change)

    def stages(self, model: str, seconds: Mapping[str, float]) -> None:
        """A request's stages."""
        for stage, value in seconds.items():
            self._stage_duration.labels(model, stage).observe(value)

    def ride(self, model: str, schedule: str, seconds: float, length: int, rows: int) -> None:
        """A request rode in a batch of ``rows`` windows, padded to ``length`` tokens."""
        self._forward_duration.labels(
            model, schedule, bucket(length, LENGTH_EDGES), bucket(rows, BATCH_EDGES)
        ).observe(seconds)

    def text(self, model: str, tokens: int, unknown: int, truncated: bool, segments: int) -> None:
        """A text was read."""
        self._request_tokens.labels(model).observe(tokens)
        self._unknown.labels(model).inc(unknown)
        self._truncated.labels(model).inc(truncated)
        self._segments.labels(model).inc(segments)

    def verdict(self, model: str, label: str, score: float) -> None:
        """A text was judged."""
        self._predictions.labels(model, label).inc()
        self._scores.labels(model, label).observe(score)

    def batch(
        self,
        model: str,
        device: str,
        *,
        rows: int,
        tokens: int,
        padding: int,
        batch_seconds: float,
        forward_seconds: float,
        flops: int,
        steps: int,
    ) -> None:
        """A batch ran; told to one API process only."""
        self._batch_forward_duration.labels(model).observe(forward_seconds)
        self._forward_seconds.labels(model).inc(forward_seconds)
        self._flops.labels(model).inc(flops)
        self._steps.labels(model).inc(steps)
        self._tokens.labels(model).inc(tokens)
        self._padding.labels(model).inc(padding)
        self._batch_size.labels(model).observe(rows)
        self._busy.labels(device).inc(batch_seconds + forward_seconds)

    def worker(self, device: str, *, restarted: bool) -> None:
        """A worker is connected, for the first time or again."""
        self._busy.labels(device)
        self._restarts.labels(device).inc(restarted)

    def model(
        self, name: str, architecture: str, device: str, dtype: str, version: str, load: float
    ) -> None:
        """A model is served."""
        self._model_info.labels(name, architecture, device, dtype, version).set(1)
        self._load.labels(name).set(load)

    def build(self, version: str, litserve: str, torch: str) -> None:
        """What this service is made of."""
        self._build_info.labels(version, litserve, torch).set(1)

    def render(self) -> bytes:
        """The exposition in Prometheus's text format; takes milliseconds, so off the event loop."""
        return generate_latest(self.registry)

    def _start_at_zero(self, models: Mapping[str, Sequence[str]], routes: list[str]) -> None:
        """``rate()`` needs a 0 before the first 1: every series known beforehand is there."""
        for reason in REJECTIONS:
            self._rejections.labels(reason)
        for route in (*routes, OTHER):
            self._request_duration.labels(OTHER, route, "200" if route in routes else "404")
        by_model = (
            self._batch_forward_duration, self._flops, self._forward_seconds, self._steps,
            self._tokens, self._padding, self._batch_size, self._request_tokens, self._unknown,
            self._truncated, self._segments, self._in_flight, self._load,
        )  # fmt: skip
        for model, labels in models.items():
            for metric in by_model:
                metric.labels(model)
            for stage in STAGES:
                self._stage_duration.labels(model, stage)
            for label in labels:
                self._predictions.labels(model, label)
                self._scores.labels(model, label)

    def _histogram(
        self, name: str, text: str, labels: list[str], buckets: Sequence[float] = LATENCY_BUCKETS
    ) -> Histogram:
        return Histogram(f"lockstep_{name}", text, labels, buckets=buckets, registry=self.registry)

    def _counter(self, name: str, text: str, labels: list[str]) -> Counter:
        return Counter(f"lockstep_{name}", text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, labels: list[str]) -> Gauge:
        return Gauge(f"lockstep_{name}", text, labels, registry=self.registry)

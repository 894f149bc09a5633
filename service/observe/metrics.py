"""Every metric the service exports: names, labels, buckets."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Literal, TypeVar

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    values,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from service.observe.buckets import (
    BATCH_BUCKETS,
    BATCH_EDGES,
    LATENCY_BUCKETS,
    LENGTH_EDGES,
    RATIO_BUCKETS,
    SCORE_BUCKETS,
    TOKEN_BUCKETS,
    bucket,
    bucket_names,
)
from service.observe.reading import HistogramCell, by_model, cells
from service.observe.shared_values import shared_value
from service.observe.tally import Tally
from service.observe.timing import STAGES

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
OTHER = "other"  # a path that isn't ours, a model that was never determined
CLASSIFY = "/v1/classify"
INFER = "/v2/models/{name}/infer"
CLASSIFY_CODES = ("200", "429", "500", "503", "504")  # what a good request may be answered with

REJECTIONS = (
    "busy", "deadline", "client_gone", "worker_lost", "not_ready", "too_large", "invalid",
    "unauthorized",
)  # fmt: skip


Metric = TypeVar("Metric", Counter, Gauge, Histogram)


class Metrics:
    """The service's metrics, as one of its API processes records and shows them.

    Made before the API processes are forked. Where there are several, each writes into files of
    its own in one folder, and any of them shows the sum of all.

    Args:
        models: labels of each served model, by name: their series start at 0.
        routes: paths that are ours.
        shadows: (primary, shadow) of every shadow there is.
        folder: shared by several API processes; None for one process alone.
    """

    def __init__(
        self,
        models: Mapping[str, Sequence[str]],
        routes: Iterable[str],
        shadows: Iterable[tuple[str, str]] = (),
        folder: Path | None = None,
    ) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # second series, read by nobody
        self._models, self._folder = tuple(models), folder
        self._tally = Tally()
        _keep_values_in(folder)
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
        self._in_flight = self._gauge(
            "requests_in_flight", "Admitted, not answered", ["model"], "livesum"
        )
        self._queue = self._gauge("queue_depth", "Windows that wait for a batch", ["model"])
        self._rejections = self._counter("rejections", "Requests refused, by reason", ["reason"])
        self._busy = self._counter("worker_busy_seconds", "Seconds in batches", ["device"])
        self._restarts = self._counter("worker_restarts", "Workers started again", ["device"])
        self._memory = self._gauge("device_memory_bytes", "Held by the workers", ["device"])
        self._shadow_ratio = self._histogram(
            "shadow_forward_ratio",
            "Forward of the shadow over that of the primary, on the same texts",
            ["primary", "shadow", "length_bucket"],
            RATIO_BUCKETS,
        )
        self._agreements = self._counter(
            "shadow_agreements",
            "Texts read by both, and whether they agree",
            ["primary", "shadow", "agree"],
        )
        self._dropped = self._counter(
            "shadow_dropped", "Replays that gave way or failed", ["primary", "shadow"]
        )
        self._load = self._gauge("model_load_seconds", "Reading and choosing a dtype", ["model"])
        self._model_info = self._gauge(
            "model_info", "What is served", ["model", "architecture", "device", "dtype", "version"]
        )
        self._build_info = self._gauge("build_info", "Versions", ["version", "litserve", "torch"])
        self._start_at_zero(models, list(routes), list(shadows))

    def gather(self, loop: asyncio.AbstractEventLoop) -> None:
        """From now on what is recorded, all of it on this loop, is there after ``fold``."""
        self._tally.gather(loop)

    def close(self) -> None:
        """Folds, and gathers no more: the loop is about to end."""
        self._tally.close()

    def fold(self) -> None:
        """Brings everything recorded up to now into the metrics; before they are read, say."""
        self._tally.fold()

    def request(self, model: str, route: str, code: int, seconds: float) -> None:
        """A request was answered, well or not."""
        self._tally.observe(self._request_duration.labels(model, route, str(code)), seconds)

    def rejection(self, reason: str) -> None:
        """A request was refused; ``reason`` is one of REJECTIONS."""
        self._tally.add(self._rejections.labels(reason))

    def in_flight(self, model: str, change: int) -> None:
        """A request was admitted (1) or answered (-1)."""
        self._tally.add(self._in_flight.labels(model), change)

    def stages(self, model: str, seconds: Mapping[str, float]) -> None:
        """A request's stages."""
        for stage, value in seconds.items():
            self._tally.observe(self._stage_duration.labels(model, stage), value)

    def ride(self, model: str, schedule: str, seconds: float, length: int, rows: int) -> None:
        """A request rode in a batch of ``rows`` windows, the longest of ``length`` tokens."""
        self._tally.observe(
            self._forward_duration.labels(
                model, schedule, bucket(length, LENGTH_EDGES), bucket(rows, BATCH_EDGES)
            ),
            seconds,
        )

    def text(self, model: str, tokens: int, unknown: int, truncated: bool, segments: int) -> None:
        """A text was read."""
        self._tally.observe(self._request_tokens.labels(model), tokens)
        self._tally.add(self._unknown.labels(model), unknown)
        self._tally.add(self._truncated.labels(model), truncated)
        self._tally.add(self._segments.labels(model), segments)

    def verdict(self, model: str, label: str, score: float) -> None:
        """A text was judged."""
        self._tally.add(self._predictions.labels(model, label))
        self._tally.observe(self._scores.labels(model, label), score)

    def batch(
        self,
        model: str,
        *,
        rows: int,
        tokens: int,
        padding: int,
        forward_seconds: float,
        flops: int,
        steps: int,
    ) -> None:
        """A batch of clients' windows ran; told to one API process only."""
        self._tally.observe(self._batch_forward_duration.labels(model), forward_seconds)
        self._tally.add(self._forward_seconds.labels(model), forward_seconds)
        self._tally.add(self._flops.labels(model), flops)
        self._tally.add(self._steps.labels(model), steps)
        self._tally.add(self._tokens.labels(model), tokens)
        self._tally.add(self._padding.labels(model), padding)
        self._tally.observe(self._batch_size.labels(model), rows)

    def busy(self, device: str, seconds: float) -> None:
        """A worker was busy with a batch, whomever it was for."""
        self._tally.add(self._busy.labels(device), seconds)

    def queues(self, waiting: Mapping[str, int]) -> None:
        """What waits in all workers; ``waiting`` leaves out the models for which nothing does."""
        for model in self._models:
            self._queue.labels(model).set(waiting.get(model, 0))

    def memory(self, device: str, bytes_held: int) -> None:
        """What the workers of a device hold of it."""
        self._memory.labels(device).set(bytes_held)

    def shadow(
        self, primary: str, shadow: str, tokens: int, ratio: float | None, agree: Iterable[bool]
    ) -> None:
        """A shadow answered.

        Args:
            primary: the model that the client asked.
            shadow: the model that was asked after it.
            tokens: of the longest text.
            ratio: of their forwards; None where the primary's was shared with other requests.
            agree: whether they gave one label, for each text.
        """
        if ratio is not None:
            length = bucket(tokens, LENGTH_EDGES)
            self._shadow_ratio.labels(primary, shadow, length).observe(ratio)
        for same in agree:
            self._agreements.labels(primary, shadow, str(same).lower()).inc()

    def shadow_dropped(self, primary: str, shadow: str) -> None:
        """A shadow gave way to a client, or failed."""
        self._dropped.labels(primary, shadow).inc()

    def worker(self, device: str, *, restarted: int) -> None:
        """A worker is connected, for the first time or in place of so many that died."""
        self._busy.labels(device)
        self._restarts.labels(device).inc(restarted)

    def model(
        self, name: str, architecture: str, device: str, dtype: str, version: str, load: float
    ) -> None:
        """A model is served by a worker."""
        self._model_info.labels(name, architecture, device, dtype, version).set(1)
        self._load.labels(name).set(load)

    def model_gone(
        self, name: str, architecture: str, device: str, dtype: str, version: str
    ) -> None:
        """What was said of a model, by a worker that died, holds no more."""
        self._model_info.labels(name, architecture, device, dtype, version).set(0)

    def build(self, version: str, litserve: str, torch: str) -> None:
        """What this service is made of."""
        self._build_info.labels(version, litserve, torch).set(1)

    def render(self) -> bytes:
        """The exposition in Prometheus's text format, of what is folded.

        It takes milliseconds, so off the event loop.
        """
        return generate_latest(self._merged())

    def forwards(self) -> tuple[list[HistogramCell], dict[str, tuple[float, float]]]:
        """What clients' forwards took, of what is folded, at one moment; off the event loop too.

        Returns:
            The forward histogram at every label value seen; and of each model its operations on
            real tokens, and the seconds of its forwards.
        """
        families = list(self._merged().collect())
        flops = by_model(families, "lockstep_model_flops")
        seconds = by_model(families, "lockstep_model_forward_seconds")
        achieved = {model: (flops[model], seconds[model]) for model in flops}
        return cells(families, "lockstep_forward_duration_seconds"), achieved

    def _merged(self) -> CollectorRegistry:
        """What all API processes recorded."""
        if self._folder is None:
            return self.registry
        merged = CollectorRegistry()
        MultiProcessCollector(merged, str(self._folder))  # type: ignore[no-untyped-call]
        return merged

    def _start_at_zero(
        self,
        models: Mapping[str, Sequence[str]],
        routes: list[str],
        shadows: list[tuple[str, str]],
    ) -> None:
        """``rate()`` needs a 0 before the first 1: every series known beforehand is there."""
        for reason in REJECTIONS:
            self._rejections.labels(reason)
        for route in (*routes, OTHER):
            self._request_duration.labels(OTHER, route, "200" if route in routes else "404")
        self._in_flight.labels(OTHER)
        by_model = (
            self._batch_forward_duration, self._flops, self._forward_seconds, self._steps,
            self._tokens, self._padding, self._batch_size, self._request_tokens, self._unknown,
            self._truncated, self._segments, self._in_flight, self._queue, self._load,
        )  # fmt: skip
        for model, labels in models.items():
            for metric in by_model:
                metric.labels(model)
            for route in {CLASSIFY, *({INFER} & set(routes))}:
                for code in CLASSIFY_CODES:
                    self._request_duration.labels(model, route, code)
            for stage in STAGES:
                self._stage_duration.labels(model, stage)
            for label in labels:
                self._predictions.labels(model, label)
                self._scores.labels(model, label)
        for pair in shadows:
            self._dropped.labels(*pair)
            for agree in ("true", "false"):
                self._agreements.labels(*pair, agree)
            for length in bucket_names(LENGTH_EDGES):
                self._shadow_ratio.labels(*pair, length)

    def _histogram(
        self, name: str, text: str, labels: list[str], buckets: Sequence[float] = LATENCY_BUCKETS
    ) -> Histogram:
        return _found_at_once(
            Histogram(f"lockstep_{name}", text, labels, buckets=buckets, registry=self.registry)
        )

    def _counter(self, name: str, text: str, labels: list[str]) -> Counter:
        return _found_at_once(Counter(f"lockstep_{name}", text, labels, registry=self.registry))

    def _gauge(
        self,
        name: str,
        text: str,
        labels: list[str],
        merge: Literal["livesum", "mostrecent"] = "mostrecent",
    ) -> Gauge:
        """``merge`` says what several processes' values make."""
        return _found_at_once(
            Gauge(f"lockstep_{name}", text, labels, registry=self.registry, multiprocess_mode=merge)
        )


def _found_at_once(metric: Metric) -> Metric:
    """A metric whose series are looked up by the library once, and then kept: they are bounded."""
    metric.labels = cache(metric.labels)  # type: ignore[method-assign]
    return metric


def forget_process(folder: Path, pid: int) -> None:
    """An API process died: what it had in flight isn't any more; what it counted still counts.

    Args:
        folder: shared by several API processes; there is none where there is one.
        pid: of the process.
    """
    mark_process_dead(pid, str(folder))  # type: ignore[no-untyped-call]


def _keep_values_in(folder: Path | None) -> None:
    """Where metrics made from now on keep their values: in files of ``folder``, or in memory.

    The library decides this as it is imported, by a variable; here it is said.
    """
    if folder is None:
        values.ValueClass = values.MutexValue
        return
    folder.mkdir(mode=0o700, exist_ok=True)
    for stale in folder.glob("*.db"):  # of a run before, in a folder that was named
        stale.unlink()
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)
    values.ValueClass = shared_value()

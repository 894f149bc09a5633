"""Spans of the running service, as a collector gets them; and a collector that is no good."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from bench.processes import free_port
from service.observe.timing import STAGES
from tests.collector import Collector, attributes
from tests.launch import Service, eventually
from tests.service.http import REVIEW, TIMEOUT_SECONDS, get, post, post_raw
from tests.service.test_lifecycle import start_and_fail

BODY = json.dumps({"inputs": REVIEW, "model": "lstm"}).encode()
PARENT = "b7ad6b7169203331"
ROUNDING_NS = 1000  # timing has three decimals of a millisecond
SPANS = 1 + len(STAGES)
STAGE_KEYS = [f"{stage}_ms" for stage in STAGES]


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with Collector() as running:
        yield running


@pytest.fixture(scope="module")
def traced(collector: Collector, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service with one model, whose spans go to ``collector``."""
    log = tmp_path_factory.mktemp("traced") / "log"
    with Service("--models", "lstm", log=log, env=collector.env) as running:
        yield running


def classify(service: Service, trace_id: str, flags: str = "01") -> httpx.Response:
    return post_raw(service, BODY, traceparent=f"00-{trace_id}-{PARENT}-{flags}")


def test_spans_last_as_long_as_the_reply_says(traced: Service, collector: Collector) -> None:
    timing = classify(traced, "1" * 32).json()["timing"]
    request, *stages = collector.spans("1" * 32, SPANS)
    assert [span.name for span in stages] == list(STAGES)
    for span, key in [(request, "total_ms"), *zip(stages, STAGE_KEYS, strict=True)]:
        took = span.end_time_unix_nano - span.start_time_unix_nano
        assert took == pytest.approx(timing[key] * 1e6, abs=ROUNDING_NS)
    edges = [request.start_time_unix_nano, *(span.end_time_unix_nano for span in stages)]
    assert [span.start_time_unix_nano for span in stages] == edges[:-1]
    assert edges[-1] == request.end_time_unix_nano


def test_spans_are_of_the_clients_trace(traced: Service, collector: Collector) -> None:
    answer = classify(traced, "2" * 32)
    request, *stages = collector.spans("2" * 32, SPANS)
    assert (request.name, request.kind) == ("POST /v1/classify", request.SPAN_KIND_SERVER)
    assert request.parent_span_id.hex() == PARENT
    assert {span.parent_span_id for span in stages} == {request.span_id}
    assert len({span.span_id for span in (request, *stages)}) == SPANS
    said = attributes(request)
    assert said["lockstep.request_id"] == answer.headers["x-request-id"]
    assert (said["http.response.status_code"], said["lockstep.model"]) == (200, "lstm")
    assert said["lockstep.tokens"] == answer.json()["results"][0]["tokens"]
    assert {one["service.name"] for one in collector.resources()} == {"lockstep"}


def test_client_that_does_not_sample_gets_no_spans(traced: Service, collector: Collector) -> None:
    classify(traced, "3" * 32, flags="00")
    classify(traced, "4" * 32)
    assert len(collector.spans("4" * 32, SPANS)) == SPANS  # which was asked for later
    assert collector.spans("3" * 32, 1, seconds=0) == []


def test_new_trace_is_named_in_the_log(traced: Service, collector: Collector) -> None:
    answer = post(traced, inputs="", model="lstm")
    found: list[str] = []

    def written() -> bool:  # the line follows the answer
        lines = traced.log.read_text().splitlines()
        found[:] = [line for line in lines if answer.headers["x-request-id"] in line]
        return bool(found)

    eventually(written)
    (line,) = found
    (request,) = collector.spans(json.loads(line)["trace_id"], 1)
    assert request.parent_span_id == b""
    assert attributes(request)["http.response.status_code"] == 422
    assert request.status.code == request.status.STATUS_CODE_UNSET


def test_text_is_in_no_span(traced: Service, collector: Collector) -> None:
    post_raw(traced, BODY.replace(b"slow", b"xylophone"), traceparent=f"00-{'5' * 32}-{PARENT}-01")
    get(traced, "/v1/xylophone")
    assert "xylophone" not in str(collector.spans("5" * 32, SPANS))
    assert not any("xylophone" in str(span) for _, span in collector._spans)


def test_drain_sends_what_is_left(tmp_path: Path) -> None:
    with Collector() as collector:
        slow = collector.env | {"OTEL_BSP_SCHEDULE_DELAY": "600000"}  # nothing leaves by itself
        with Service("--models", "lstm", log=tmp_path / "log", env=slow) as service:
            classify(service, "6" * 32)
            assert collector.spans("6" * 32, SPANS, seconds=0) == []
            assert service.stop(TIMEOUT_SECONDS) == 0
        assert len(collector.spans("6" * 32, SPANS, seconds=0)) == SPANS


def test_collector_that_hangs_fails_no_request_and_no_end(tmp_path: Path) -> None:
    with Collector() as collector:
        collector.hangs = True
        with Service("--models", "lstm", log=tmp_path / "log", env=collector.env) as service:
            statuses = {classify(service, "7" * 32).status_code for _ in range(20)}
            wait_for_held(collector)
            statuses |= {classify(service, "7" * 32).status_code for _ in range(20)}
            assert statuses == {200}
            assert service.stop(TIMEOUT_SECONDS) == 0
        assert "spans were lost" in service.log.read_text()


def wait_for_held(collector: Collector) -> None:
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while not collector.held:
        assert time.monotonic() < deadline, "no spans were sent"
        time.sleep(0.02)


def test_collector_that_is_down_fails_no_request_and_no_end(tmp_path: Path) -> None:
    env = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{free_port()}",
        "OTEL_BSP_SCHEDULE_DELAY": "50",
    }
    with Service("--models", "lstm", log=tmp_path / "log", env=env) as service:
        assert {classify(service, "8" * 32).status_code for _ in range(40)} == {200}
        assert service.stop(TIMEOUT_SECONDS) == 0


def test_wrong_variable_ends_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4317")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    assert "OTEL_EXPORTER_OTLP_PROTOCOL=grpc" in start_and_fail("--models", "lstm")

"""Whether spans are asked for, by the standard variables, and what is refused."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest

from service.observe import tracing
from service.observe.exchange import Exchange
from service.observe.tracing import Tracing, check, wanted
from tests.launch import ROOT

ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}
TRACES_ENDPOINT = {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "https://collector.example/v1/traces"}


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, False),
        ({"OTEL_SERVICE_NAME": "sentiment"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": " "}, False),
        (ENDPOINT, True),
        (TRACES_ENDPOINT, True),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, True),
        (ENDPOINT | {"OTEL_TRACES_EXPORTER": "none"}, False),
        (ENDPOINT | {"OTEL_SDK_DISABLED": "True"}, False),
        (ENDPOINT | {"OTEL_SDK_DISABLED": "false"}, True),
        (ENDPOINT | {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}, True),
    ],
)
def test_spans_are_wanted_where_the_variables_say_so(
    environ: dict[str, str], expected: bool
) -> None:
    assert wanted(environ) is expected


@pytest.mark.parametrize(
    "wrong",
    [
        {"OTEL_TRACES_EXPORTER": "zipkin"},
        {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
        {"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/json"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "collector:4317"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://"},
        {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://[bad"},
    ],
)
def test_what_cannot_be_done_is_refused_by_name(wrong: dict[str, str]) -> None:
    ((name, value),) = wrong.items()
    with pytest.raises(ValueError, match=name) as caught:
        wanted(ENDPOINT | wrong)
    assert value in str(caught.value)


def test_missing_sdk_is_refused_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "service.observe.spans", None)  # as if it couldn't be found
    check({})
    with pytest.raises(ValueError, match=r"isn't installed: pip install .*\[tracing\]"):
        check(ENDPOINT)


def test_tracing_is_nothing_unless_asked_for() -> None:
    async def run() -> None:
        async with Tracing({}) as idle:
            idle(Exchange("id", "/v1/classify", 0.0))

    asyncio.run(run())


@pytest.mark.parametrize("module", ["service.server", "service.api.app"])
def test_serving_needs_no_sdk(module: str) -> None:
    code = f"import sys, {module}; sys.exit('opentelemetry.sdk' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_flush_is_bounded_and_short() -> None:
    assert 0 < tracing.FLUSH_SECONDS <= 10  # a supervisor's patience at a stop is often 10 to 30

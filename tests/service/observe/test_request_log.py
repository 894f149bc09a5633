"""The line of a request: what it says, when it is written, and what is never in it."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from service.observe import logs
from service.observe.exchange import Exchange
from service.observe.request_log import LOGGER, RequestLog, frames, request_fields

SECRET = "what the client wrote"
STAGES = {"parse": 0.0001, "tokenize": 0.0002, "forward": 0.0012345}


@pytest.fixture
def written(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> list[dict[str, Any]]:
    """What the log is given to write."""
    caplog.set_level(logging.INFO, LOGGER)
    lines: list[dict[str, Any]] = []
    monkeypatch.setattr(logs, "write", lines.append)
    return lines


def exchange(**known: Any) -> Exchange:
    known.setdefault("total_seconds", 0.01)
    return Exchange("id-1", "/v1/classify", 0.0, method="POST", **known)


def probe(route: str, code: int) -> Exchange:
    return Exchange("id-1", route, 0.0, method="GET", total_seconds=0.001, code=code)


def fault() -> Exception:
    try:
        try:
            raise KeyError(SECRET)
        except KeyError as error:
            raise ValueError(SECRET) from error
    except ValueError as error:
        return error


def test_answered_request_says_its_stages_in_milliseconds() -> None:
    answered = exchange(code=200, model="lstm", trace_id="ab" * 16)
    answered.answered(STAGES, batch_size=4, tokens=17)
    assert request_fields(answered) == {
        "event": "request", "id": "id-1", "method": "POST", "route": "/v1/classify",
        "model": "lstm", "code": 200, "total_ms": 1.534, "parse_ms": 0.1, "tokenize_ms": 0.2,
        "forward_ms": 1.234, "batch_size": 4, "tokens": 17, "trace_id": "ab" * 16,
    }  # fmt: skip


def test_refused_request_says_why() -> None:
    fields = request_fields(exchange(code=429, error="busy"))
    assert (fields["code"], fields["error"], fields["total_ms"]) == (429, "busy", 10.0)
    assert not {"parse_ms", "batch_size", "tokens", "trace_id", "cause", "exception"} & set(fields)


def test_fault_says_where_and_of_what_kind_but_not_its_message() -> None:
    exception = request_fields(exchange(code=500, fault=fault()))["exception"]
    assert exception.splitlines()[-1] == "builtins.ValueError"
    assert "builtins.KeyError" in exception
    assert "test_request_log.py" in exception
    assert SECRET not in exception


def test_endless_chain_of_causes_ends() -> None:
    error = fault()
    assert error.__cause__ is not None
    error.__cause__.__cause__ = error
    assert frames(error).count("ValueError") < 10


@pytest.mark.parametrize(
    ("code", "level"), [(200, "info"), (422, "info"), (500, "error"), (503, "warning")]
)
def test_level_follows_the_code(written: list[dict[str, Any]], code: int, level: str) -> None:
    RequestLog(every=True)(exchange(code=code))
    assert [line["level"] for line in written] == [level]


@pytest.mark.parametrize("route", ["/health/live", "/health/ready", "/metrics"])
def test_probe_is_told_of_when_it_fails(written: list[dict[str, Any]], route: str) -> None:
    for code in (200, 405, 500, 503):
        RequestLog(every=True)(probe(route, code))
    assert [(line["route"], line["code"]) for line in written] == [
        (route, 405), (route, 500), (route, 503),
    ]  # fmt: skip


def test_probe_that_went_well_is_told_of_at_debug(
    written: list[dict[str, Any]], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, LOGGER)
    RequestLog(every=True)(probe("/health/ready", 200))
    assert [line["level"] for line in written] == ["debug"]


def test_quiet_log_still_tells_of_our_mistakes(written: list[dict[str, Any]]) -> None:
    for code in (200, 422, 503, 500):
        RequestLog(every=False)(exchange(code=code))
    RequestLog(every=False)(exchange(code=200, fault=fault()))  # an answer that broke off
    assert [line["code"] for line in written] == [500, 200]

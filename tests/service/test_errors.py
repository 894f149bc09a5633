"""Bad input on the running service: each a clear error in the documented form."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from typing import Any

import httpx
import pytest

from tests.launch import Service, eventually
from tests.service.http import TIMEOUT_SECONDS, get, post, post_raw, problem, sample


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (b'{"inputs": ', 400, "not_json"),
        (b'{"inputs": "\\ud83d alone"}', 400, "not_json"),
        (b"\xff\xfe\x00", 400, "not_json"),
        (b"", 400, "not_json"),
        (b"[1, 2]", 422, "invalid"),
        (b'{"inputs": 5}', 422, "invalid"),
        (b'{"inputs": "a", "modle": "lstm"}', 422, "invalid"),
        (b'{"inputs": "a", "schedule": "serial"}', 422, "invalid"),
        (b'{"inputs": "a", "model": "gpt"}', 404, "model_not_found"),
    ],
)
def test_bad_body_is_a_problem(service: Service, content: bytes, status: int, code: str) -> None:
    response = post_raw(service, content)
    assert (response.status_code, problem(response)["code"]) == (status, code)


def test_unknown_model_names_the_known_ones(service: Service) -> None:
    detail = problem(post(service, inputs="a", model="gpt"))["detail"]
    assert all(name in detail for name in ("lstm", "transformer", "minilm"))


@pytest.mark.parametrize("blank", ["", "   \n", "\x00", "<br /><br />"])
def test_empty_text_is_named_by_its_index(service: Service, blank: str) -> None:
    body = problem(post(service, inputs=["fine", "good", blank], model="lstm"))
    assert body["errors"][0]["loc"] == ["inputs", 2]
    assert "empty" in body["detail"]


def test_one_wrong_item_is_named_by_its_index(service: Service) -> None:
    body = problem(post(service, inputs=["fine", 5, "good"], model="lstm"))
    assert [error["loc"] for error in body["errors"]] == [["inputs", 1]]


def test_text_past_the_token_limit_is_refused(service: Service) -> None:
    response = post(service, inputs=["short", "word " * 20_000], model="lstm")
    body = problem(response)
    assert (response.status_code, body["code"]) == (413, "text_too_long")
    assert body["errors"][0]["loc"] == ["inputs", 1]


def test_too_many_texts_are_refused(service: Service) -> None:
    for count in (129, 10_000):
        response = post(service, inputs=["fine"] * count, model="lstm")
        assert response.status_code == 422
        assert "128" in problem(response)["detail"]


def test_body_past_the_limit_is_refused(service: Service) -> None:
    response = post_raw(service, b'{"inputs": "' + b"a" * 8_000_000 + b'"}')
    assert (response.status_code, problem(response)["code"]) == (413, "body_too_large")


def test_other_content_type_is_refused(service: Service) -> None:
    response = post_raw(service, b"inputs=fine", content_type="application/x-www-form-urlencoded")
    assert (response.status_code, problem(response)["code"]) == (415, "unsupported_media_type")


@pytest.mark.parametrize("path", ["/health", "/info", "/predict", "/shutdown", "/web/nope", "/v1"])
def test_no_other_route_exists(service: Service, path: str) -> None:
    assert problem(get(service, path))["code"] == "not_found"


def test_wrong_method_names_the_right_one(service: Service) -> None:
    response = get(service, "/v1/classify")
    assert (response.status_code, response.headers["allow"]) == (405, "POST")
    assert problem(response)["code"] == "method_not_allowed"


def test_deadline_that_cannot_be_met_is_a_504(service: Service) -> None:
    response = post(service, inputs="word " * 5000, model="lstm", timeout_ms=0.01)
    assert (response.status_code, problem(response)["code"]) == (504, "deadline_exceeded")


def test_bad_item_does_not_harm_others_in_flight(service: Service) -> None:
    async def both() -> list[int]:
        async with httpx.AsyncClient(base_url=service.base_url, timeout=TIMEOUT_SECONDS) as client:
            bodies: list[dict[str, Any]] = [
                {"inputs": "good", "model": "lstm"},
                {"inputs": "", "model": "lstm"},
            ]
            asked = [client.post("/v1/classify", json=bodies[n % 2]) for n in range(40)]
            return [answer.status_code for answer in await asyncio.gather(*asked)]

    assert asyncio.run(both()) == [200, 422] * 20


def test_rejections_are_counted_by_reason_and_code(service: Service) -> None:
    reason = 'lockstep_rejections_total{reason="invalid"}'
    labels = 'code="422",model="other",route="/v1/classify"'
    count = f"lockstep_request_duration_seconds_count{{{labels}}}"
    before = sample(service, reason), sample(service, count)
    post(service, inputs=5)
    assert (sample(service, reason), sample(service, count)) == (before[0] + 1, before[1] + 1)


def send(
    service: Service, body: bytes, announced: int, pause_seconds: float = 0.0
) -> socket.socket:
    """A connection on which a request was sent whose answer nobody has read.

    Args:
        service: to whom.
        body: what is sent of it.
        announced: bytes that it is said to have.
        pause_seconds: before it.
    """
    sock = socket.create_connection(("127.0.0.1", service.port), timeout=TIMEOUT_SECONDS)
    head = (
        b"POST /v1/classify HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        b"content-length: %d\r\n\r\n" % announced
    )
    if pause_seconds:
        sock.sendall(head)
        time.sleep(pause_seconds)
        head = b""
    sock.sendall(head + body)
    return sock


def gone(service: Service, model: str) -> tuple[float, float]:
    """Clients counted as gone: as a rejection, and as requests of a model."""
    labels = f'code="499",model="{model}",route="/v1/classify"'
    count = f"lockstep_request_duration_seconds_count{{{labels}}}"
    reason = 'lockstep_rejections_total{reason="client_gone"}'
    return sample(service, reason), sample(service, count)


@pytest.mark.parametrize("pause_seconds", [0, 0.05], ids=["at once", "in pieces"])
def test_client_that_goes_away_is_counted_and_its_work_dropped(
    service: Service, pause_seconds: float
) -> None:
    """Also where so much came late that reading was stopped."""
    texts, words = 32, 5000  # seconds of forwards
    waiting, computed = (
        f'lockstep_{name}{{model="lstm"}}' for name in ("queue_depth", "tokens_total")
    )
    before, tokens = gone(service, "lstm"), sample(service, computed)
    body = json.dumps({"inputs": ["word " * words] * texts, "model": "lstm"}).encode()
    with send(service, body, len(body), pause_seconds):
        eventually(lambda: sample(service, waiting) > 0)
    eventually(lambda: gone(service, "lstm") == (before[0] + 1, before[1] + 1))
    assert sample(service, 'lockstep_requests_in_flight{model="lstm"}') == 0
    eventually(lambda: sample(service, waiting) == 0)
    assert post(service, inputs="fine", model="lstm").status_code == 200
    assert sample(service, computed) - tokens < texts * words


def test_client_that_goes_away_halfway_is_counted(service: Service) -> None:
    before = gone(service, "other")
    with send(service, b"{", 100):
        pass
    eventually(lambda: gone(service, "other") == (before[0] + 1, before[1] + 1))


def test_body_that_stops_halfway_is_answered(service: Service) -> None:
    with send(service, b"{", 100) as sock:
        assert sock.recv(200).startswith(b"HTTP/1.1 408 ")

"""Cross-origin requests: from named origins alone, errors and preflights included."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from service.api.access import layers
from service.api.exchange import at_the_edge
from service.observe.metrics import Metrics
from service.settings import Settings
from tests.service.http import problem

PAGE, OTHER = "https://page.example.org", "https://other.example.org"
KEY = "client-key-0123456789"


async def fine(request: Request) -> Response:
    return PlainTextResponse("fine")


def client(origins: str = PAGE) -> TestClient:
    settings = Settings(cors_origins=origins, api_keys=KEY)
    routes = [Route("/v1/classify", fine, methods=["POST"])]
    return TestClient(at_the_edge(routes, Metrics({}, ["/v1/classify"]), **layers(settings)))


def preflight(client: TestClient, origin: str) -> Any:
    headers = {"origin": origin, "access-control-request-method": "POST"}
    return client.options("/v1/classify", headers=headers)


def post(client: TestClient, origin: str, key: str = KEY) -> Any:
    headers = {"origin": origin, "authorization": f"Bearer {key}"}
    return client.post("/v1/classify", headers=headers)


def test_no_origin_is_allowed_unless_named() -> None:
    for answer in (preflight(client(""), PAGE), post(client(""), PAGE)):
        assert [name for name in answer.headers if name.startswith("access-control")] == []


def test_named_origin_is_allowed_before_it_sends_a_key() -> None:
    answer = preflight(client(f"{PAGE},{OTHER}"), OTHER)
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["access-control-allow-origin"] == OTHER
    assert "Authorization" in answer.headers["access-control-allow-headers"]
    assert "x-request-id" in answer.headers


def test_named_origin_may_read_answers_and_errors() -> None:
    for answer, status in ((post(client(), PAGE), 200), (post(client(), PAGE, "x" * 20), 401)):
        assert answer.status_code == status
        assert answer.headers["access-control-allow-origin"] == PAGE
        assert answer.headers["vary"] == "Origin"
        assert "Server-Timing" in answer.headers["access-control-expose-headers"]


@pytest.mark.parametrize("origin", [OTHER, "null", PAGE + ".evil.org", "http://page.example.org"])
def test_other_origin_is_told_nothing(origin: str) -> None:
    assert problem(preflight(client(), origin))["code"] == "unauthorized"
    answer = post(client(), origin)
    assert "access-control-allow-origin" not in answer.headers
    assert answer.headers["vary"] == "Origin"  # a cache must not give this to the page


def test_options_of_a_named_origin_that_is_no_preflight_needs_a_key() -> None:
    answer: Any = client().options("/v1/classify", headers={"origin": PAGE})
    assert problem(answer)["code"] == "unauthorized"

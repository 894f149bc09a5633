"""The edge: ids, problem documents, and one observation a request."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from service.api.errors import Busy, WorkerLost
from service.api.exchange import Edge, Exchange, at_the_edge, ulid
from service.engine.errors import WorkerLostError
from service.observe.metrics import Metrics


async def fine(request: Request) -> Response:
    return PlainTextResponse("fine")


async def broken(request: Request) -> Response:
    raise ZeroDivisionError("a secret of ours")


async def busy(request: Request) -> Response:
    raise Busy("too many")


@pytest.fixture
def metrics() -> Metrics:
    return Metrics({}, ["/fine", "/broken", "/busy"])


async def lost(request: Request) -> Response:
    raise WorkerLost("try again") from WorkerLostError("it ended")


@pytest.fixture
def told() -> list[Exchange]:
    """What an observer was told."""
    return []


@pytest.fixture
def client(metrics: Metrics, told: list[Exchange]) -> TestClient:
    def fail(exchange: Exchange) -> None:
        raise OSError("an observer that fails")

    routes = [Route(f"/{f.__name__}", f, methods=["GET"]) for f in (fine, broken, busy, lost)]
    return TestClient(at_the_edge(routes, metrics, observers=[fail, told.append]))


def counted(metrics: Metrics, route: str, code: int) -> float | None:
    labels = {"model": "other", "route": route, "code": str(code)}
    return metrics.registry.get_sample_value("lockstep_request_duration_seconds_count", labels)


@pytest.mark.parametrize(
    ("path", "method", "status", "code", "route"),
    [
        ("/broken", "GET", 500, "internal", "/broken"),
        ("/busy", "GET", 429, "busy", "/busy"),
        ("/nowhere", "GET", 404, "not_found", "other"),
        ("/fine", "POST", 405, "method_not_allowed", "/fine"),
    ],
)
def test_error_is_a_problem_counted_once(
    client: TestClient, metrics: Metrics, path: str, method: str, status: int, code: str, route: str
) -> None:
    answer = client.request(method, path)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert set(problem) == {"type", "title", "status", "detail", "code", "request_id"}
    assert (problem["status"], problem["code"]) == (status, code)
    assert problem["request_id"] == answer.headers["x-request-id"]
    assert counted(metrics, route, status) == 1


def test_server_fault_is_not_told_to_the_client(client: TestClient) -> None:
    assert "secret" not in client.get("/broken").text


def test_rejection_is_counted_by_reason(client: TestClient, metrics: Metrics) -> None:
    assert client.get("/busy").headers["retry-after"] == "1"
    assert metrics.registry.get_sample_value("lockstep_rejections_total", {"reason": "busy"}) == 1


def test_method_not_allowed_names_those_that_are(client: TestClient) -> None:
    assert "GET" in client.post("/fine").headers["allow"]


def test_request_id_is_taken_when_it_is_plain(client: TestClient) -> None:
    answer = client.get("/fine", headers={"X-Request-ID": "mine 42"})
    assert answer.headers.get_list("x-request-id") == ["mine 42"]


@pytest.mark.parametrize("hostile", [b"", b"x" * 129, b"caf\xe9", b"tab\there"])
def test_hostile_request_id_is_replaced(client: TestClient, hostile: bytes) -> None:
    answer = client.get("/fine", headers=[(b"x-request-id", hostile)])
    assert len(answer.headers["x-request-id"]) == 26


def test_made_ids_are_distinct_and_sort_by_time() -> None:
    ids = [ulid() for _ in range(1000)]
    assert len(set(ids)) == 1000
    assert all(len(made) == 26 for made in ids)
    assert [made[:9] for made in ids] == sorted(made[:9] for made in ids)


def test_request_is_told_once_when_it_is_over(client: TestClient, told: list[Exchange]) -> None:
    assert client.get("/fine", headers={"x-request-id": "mine"}).text == "fine"
    (exchange,) = told
    assert (exchange.id, exchange.method, exchange.route) == ("mine", "GET", "/fine")
    assert (exchange.code, exchange.error, exchange.fault) == (200, None, None)
    assert exchange.total_seconds is not None


@pytest.mark.parametrize(
    ("path", "code", "error", "cause"),
    [
        ("/broken", 500, "internal", None),
        ("/busy", 429, "busy", None),
        ("/lost", 503, "worker_lost", "WorkerLostError('it ended')"),
    ],
)
def test_failure_is_told_with_its_code_and_cause(
    client: TestClient, told: list[Exchange], path: str, code: int, error: str, cause: str | None
) -> None:
    client.get(path)
    (exchange,) = told
    assert (exchange.code, exchange.error, exchange.cause) == (code, error, cause)
    assert isinstance(exchange.fault, ZeroDivisionError) is (path == "/broken")


def test_method_that_http_does_not_know_is_other(client: TestClient, told: list[Exchange]) -> None:
    client.request("BREW", "/fine")
    assert told[0].method == "other"


def test_trace_is_taken_from_the_header(client: TestClient, told: list[Exchange]) -> None:
    trace_id, span_id = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    client.get("/fine", headers={"traceparent": f"00-{trace_id}-{span_id}-01"})
    client.get("/fine", headers={"traceparent": f"00-{trace_id}-{span_id}"})
    assert [exchange.trace_id for exchange in told] == [trace_id, None]


def test_answer_that_has_begun_is_not_begun_again(metrics: Metrics) -> None:
    async def half(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise RuntimeError("midway")

    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "scheme": "http", "method": "GET", "path": "/fine", "headers": []}
    with pytest.raises(RuntimeError, match="midway"):
        asyncio.run(Edge(half, metrics, ["/fine"])(scope, None, send))  # type: ignore[arg-type]
    assert len(sent) == 1


def test_request_is_told_of_in_the_turn_after_its_answer(metrics: Metrics) -> None:
    told: list[Exchange] = []

    async def fine(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def send(message: Any) -> None:
        pass

    async def ask() -> None:
        scope = {"type": "http", "scheme": "http", "method": "GET", "path": "/fine", "headers": []}
        await Edge(fine, metrics, ["/fine"], [told.append])(scope, None, send)  # type: ignore[arg-type]
        assert (told, counted(metrics, "/fine", 200)) == ([], 0)
        await asyncio.sleep(0)

    asyncio.run(ask())
    assert (len(told), counted(metrics, "/fine", 200)) == (1, 1)

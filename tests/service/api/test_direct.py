"""Paths without a parameter go past the router, and are answered as it would answer them."""

from __future__ import annotations

import pytest
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from service.api.direct import Direct


async def told(request: Request) -> Response:
    routed = "router" in request.scope
    return PlainTextResponse(f"{'routed' if routed else 'direct'} {request.path_params}")


DONE: list[str] = []


async def later(request: Request) -> Response:
    return PlainTextResponse("first", background=BackgroundTask(DONE.append, "then"))


ROUTES = [
    Route("/later", later),
    Route("/plain", told, methods=["GET"]),
    Route("/plain", told, methods=["POST"]),
    Route("/one/{name}", told),
]
CLIENT = TestClient(Starlette(routes=ROUTES, middleware=[Middleware(Direct, routes=ROUTES)]))


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_plain_path_is_direct(method: str) -> None:
    assert CLIENT.request(method, "/plain").text == "direct {}"


def test_what_is_to_be_done_after_an_answer_is_done() -> None:
    assert CLIENT.get("/later").text == "first"
    assert DONE == ["then"]


def test_path_with_a_parameter_is_routed() -> None:
    assert CLIENT.get("/one/two").text == "routed {'name': 'two'}"


def test_what_isnt_there_is_the_routers_to_refuse() -> None:
    assert CLIENT.get("/plain/", follow_redirects=False).status_code == 307
    assert CLIENT.get("/none").status_code == 404
    assert CLIENT.put("/plain").status_code == 405
    assert CLIENT.head("/plain").status_code == 200

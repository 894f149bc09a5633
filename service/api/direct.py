"""The shortest way from a path to its endpoint."""

from __future__ import annotations

from collections.abc import Iterable

from starlette.requests import Request
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send


class Direct:
    """The innermost layer: a path that needs no matching goes straight to its endpoint.

    Starlette's router, and what it wraps an endpoint in to catch exceptions that ``Edge`` catches
    anyway, take a twentieth of a request that has no forward. They see to the others: paths with a
    parameter, unknown ones, another method.

    Args:
        app: that sees to the others.
        routes: of the application.
    """

    def __init__(self, app: ASGIApp, routes: Iterable[Route]) -> None:
        self._app = app
        self._endpoints = {
            (method, route.path): route.endpoint
            for route in routes
            if not route.param_convertors
            for method in (route.methods or ())
            if method != "HEAD"
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        endpoint = None
        if scope["type"] == "http":
            endpoint = self._endpoints.get((scope["method"], scope["path"]))
        if endpoint is None:
            await self._app(scope, receive, send)
            return
        response = await endpoint(Request(scope, receive, send))
        await response(scope, receive, send)

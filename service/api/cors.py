"""Cross-origin requests, from named origins alone: without a setting, no browser's page elsewhere
may read an answer.

    Allowed (outside the edge: its errors are told to a page too) ─▶ Edge ─▶ Preflight ─▶ Gate ─▶ …

A preflight carries no key, so it is answered before keys are asked for.
"""

from __future__ import annotations

from collections.abc import Iterable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

METHODS = b"GET, POST"
REQUEST_HEADERS = (
    b"Authorization, Content-Type, Inference-Header-Content-Length, Traceparent, X-Request-ID"
)
# What a page may read of an answer, beyond what it always may.
ANSWER_HEADERS = (
    b"Inference-Header-Content-Length, Retry-After, Server-Timing, WWW-Authenticate, X-Request-ID"
)
MAX_AGE = b"600"  # seconds for which a browser needn't ask again

_NAMED = "lockstep.named_origin"  # in a scope: the request comes from one


class Allowed:
    """The layer that says who may read answers; the outermost.

    Args:
        app: everything else.
        origins: as browsers send them: ``https://example.org``, no path.
    """

    def __init__(self, app: ASGIApp, origins: Iterable[str]) -> None:
        self._app = app
        self._headers = {
            origin.encode(): [
                (b"access-control-allow-origin", origin.encode()),
                (b"access-control-expose-headers", ANSWER_HEADERS),
                (b"timing-allow-origin", origin.encode()),
            ]
            for origin in origins
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        origin = next((value for name, value in scope["headers"] if name == b"origin"), b"")
        named = self._headers.get(origin, [])
        scope[_NAMED] = bool(named)

        async def send_allowed(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"vary", b"Origin"), *named]
            await send(message)

        await self._app(scope, receive, send_allowed)


class Preflight:
    """The layer that tells a browser what it may send; of other origins' it makes nothing."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not scope.get(_NAMED) or not _is_preflight(scope):
            await self._app(scope, receive, send)
            return
        headers = [
            (b"access-control-allow-methods", METHODS),
            (b"access-control-allow-headers", REQUEST_HEADERS),
            (b"access-control-max-age", MAX_AGE),
        ]
        await send({"type": "http.response.start", "status": 204, "headers": headers})
        await send({"type": "http.response.body", "body": b""})


def _is_preflight(scope: Scope) -> bool:
    names = {name for name, _ in scope["headers"]}
    return scope["method"] == "OPTIONS" and b"access-control-request-method" in names

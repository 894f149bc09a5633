"""One request and its answer, from the edge: who it is, how long it took, what it's counted as.

``Edge`` is the outermost layer. It gives every request an id, turns every exception into a problem
document, and observes every request once, with the code that was sent: in the metrics, in the log,
and as spans.
"""

from __future__ import annotations

import asyncio
import logging
import random
import re
import time
from collections.abc import Iterable, Sequence

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Lifespan, Message, Receive, Scope, Send

from service.api.direct import Direct
from service.api.errors import MEDIA_TYPE, MethodNotAllowed, NotFound, ServiceError
from service.api.inference_protocol import errors as v2_errors
from service.api.loop import loop_of
from service.engine.errors import EngineError
from service.observe import traceparent
from service.observe.exchange import Exchange as Exchange
from service.observe.exchange import Observer
from service.observe.metrics import OTHER, Metrics
from service.observe.timing import now

logger = logging.getLogger("lockstep.api")

METHODS = frozenset(
    ["CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"]
)
NO_SUCH_PATH = (
    "no such path; the API is under /v1, the Open Inference Protocol under /v2, and GET /v2 lists "
    "its extensions that are here"
)
# Of every answer that has no such policy of its own: nobody keeps it, nor guesses what it is.
SAFE = ((b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff"))
REFUSAL = "lockstep.refusal"  # in a scope: the error that ends it, of what comes before us
WHOLE = "lockstep.whole"  # in a scope: the whole body is there
_PRINTABLE = re.compile(r"[\x20-\x7e]{1,128}")
_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS = [first + second for first in _CROCKFORD for second in _CROCKFORD]


class Edge:
    """The outermost layer of the application.

    Args:
        app: everything else.
        metrics: where requests are counted.
        routes: paths that are ours and have no parameter.
        observers: told of each request once it is over, in this order.
    """

    def __init__(
        self,
        app: ASGIApp,
        metrics: Metrics,
        routes: Iterable[str],
        observers: Sequence[Observer] = (),
    ) -> None:
        self._app, self._metrics, self._routes = app, metrics, frozenset(routes)
        self._observers = observers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = scope["exchange"] = self._begin(scope)
        code = 0

        async def send_with_id(message: Message) -> None:
            nonlocal code
            if message["type"] == "http.response.start":
                code = message["status"]
                headers = message["headers"]
                headers.append((b"x-request-id", exchange.id.encode()))
                if not any(name == b"cache-control" for name, _ in headers):
                    headers.extend(SAFE)
            await send(message)

        async def receive_whole() -> Message:
            message = await receive()
            if REFUSAL in scope:
                raise scope[REFUSAL]
            return message

        try:
            if REFUSAL in scope:
                raise scope[REFUSAL]
            await self._app(scope, receive_whole, send_with_id)
        except Exception as error:
            problem = self._problem(error, exchange)
            if code:  # the answer has begun: nothing can be added to it
                raise
            await send_problem(problem, exchange, send_with_id, scope["path"])
        finally:
            self._end(exchange, code or 500, loop_of(scope))

    def _begin(self, scope: Scope) -> Exchange:
        path, headers = scope["path"], scope["headers"]
        parent = traceparent.read(headers)
        return Exchange(
            request_id(headers),
            path if path in self._routes else OTHER,
            now(),
            method=scope["method"] if scope["method"] in METHODS else OTHER,
            scheme=scope["scheme"],
            parent=parent,
            trace_id=parent.trace_id if parent else None,
        )

    def _end(self, exchange: Exchange, code: int, loop: asyncio.AbstractEventLoop) -> None:
        exchange.code = code
        if exchange.total_seconds is None:
            exchange.total_seconds = now() - exchange.began
        # In the loop's next turn: in this one the answer leaves.
        loop.call_soon(self._tell, exchange, exchange.total_seconds)

    def _tell(self, exchange: Exchange, seconds: float) -> None:
        self._metrics.request(exchange.model, exchange.route, exchange.code, seconds)
        for observe in self._observers:
            try:
                observe(exchange)
            except Exception:  # the client has its answer, and nothing here may take it back
                logger.exception("request %s was answered and can't be told of", exchange.id)

    def _problem(self, error: Exception, exchange: Exchange) -> ServiceError:
        match error:
            case ServiceError():
                problem = error
            case HTTPException(status_code=404):
                problem = NotFound(NO_SUCH_PATH)
            case HTTPException(status_code=405):
                problem = MethodNotAllowed((error.headers or {}).get("Allow", ""))
            case _:
                problem = ServiceError("something failed here; the log knows more under this id")
        exchange.error = problem.code
        if isinstance(error.__cause__, EngineError):  # which never saw a text
            exchange.cause = repr(error.__cause__)
        if problem is not error and problem.status == 500:
            exchange.fault = error
        if problem.reason is not None:
            self._metrics.rejection(problem.reason)
        return problem


async def raise_on(request: Request, error: Exception) -> Response:
    """Hands Starlette's own errors (no such route, wrong method) to the edge like any other."""
    raise error


def at_the_edge(
    routes: list[Route],
    metrics: Metrics,
    lifespan: Lifespan[Starlette] | None = None,
    observers: Sequence[Observer] = (),
    *,
    outside: Sequence[Middleware] = (),
    inside: Sequence[Middleware] = (),
) -> Starlette:
    """An application of these routes behind ``Edge``, with layers outside and inside of it."""
    return Starlette(
        routes=routes,
        middleware=[
            *outside,
            Middleware(
                Edge,
                metrics=metrics,
                routes=[route.path for route in routes],
                observers=observers,
            ),
            *inside,
            Middleware(Direct, routes=routes),
        ],
        exception_handlers={HTTPException: raise_on},
        lifespan=lifespan,
    )


async def send_problem(problem: ServiceError, exchange: Exchange, send: Send, path: str) -> None:
    """Answers with a problem document, or under ``/v2`` with the error object of its protocol."""
    status, media_type, body = problem.status, MEDIA_TYPE, problem.body(exchange.id)
    if v2_errors.is_ours(path):
        status, media_type = v2_errors.status(problem), v2_errors.MEDIA_TYPE
        body = v2_errors.body(problem)
    headers = [
        (b"content-type", media_type.encode()),
        (b"content-length", str(len(body)).encode()),
        *((name.lower().encode(), value.encode()) for name, value in problem.headers.items()),
    ]
    start = {"type": "http.response.start", "status": status, "headers": headers}
    await send(start)
    await send({"type": "http.response.body", "body": body})


def request_id(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """The client's own id if it is 1 to 128 printable ASCII characters, else a new one."""
    for name, value in headers:
        if name == b"x-request-id":
            text = value.decode("latin-1")
            if _PRINTABLE.fullmatch(text):
                return text
    return ulid()


def ulid() -> str:
    """A new id that sorts by time: milliseconds and chance, in Crockford's base 32."""
    chance = random.getrandbits(80)
    number = time.time_ns() // 1_000_000 << 80 | chance
    return "".join([_PAIRS[number >> shift & 1023] for shift in range(120, -1, -10)])

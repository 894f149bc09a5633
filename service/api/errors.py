"""Every error a client can be told: one tree, each knows its status. The body is RFC 9457's.

    ServiceError 500 internal
    ├── NotHTTP 400              ├── BodyTooLarge 413, TextTooLong 413
    ├── NotJSON 400              ├── NotJSONByType 415 ── EncodedBody 415
    ├── Unauthorized 401         ├── Invalid 422, InputTooLong 422
    ├── Forbidden 403            ├── Busy 429 ── TooManyConnections 429
    ├── NotFound 404             ├── HeadersTooLarge 431
    │   └── ModelNotFound 404    ├── ClientGone 499
    ├── MethodNotAllowed 405     ├── NotReady 503, WorkerLost 503
    ├── HeadersTimeout 408       └── DeadlineExceeded 504
    ├── BodyTimeout 408

A server's fault is never put on the client: what isn't in the tree is a 500, logged whole, told in
one line. A text is never echoed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import msgspec

MEDIA_TYPE = "application/problem+json"


class ServiceError(Exception):
    """Base: anything that ends a request without an answer.

    Attributes:
        status: of HTTP.
        code: for programs; stable.
        title: for people; the same for each ``code``.
        reason: the label under which ``lockstep_rejections_total`` counts it, if it does.
        headers: sent along.
    """

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal"
    title: ClassVar[str] = "Internal error"
    reason: ClassVar[str | None] = None
    headers: Mapping[str, str] = {}

    def __init__(self, detail: str, errors: list[dict[str, Any]] | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.errors = errors

    def body(self, request_id: str) -> bytes:
        """The problem document."""
        problem: dict[str, Any] = {
            "type": f"urn:lockstep:error:{self.code}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
            "request_id": request_id,
        }
        if self.errors is not None:
            problem["errors"] = self.errors
        return msgspec.json.encode(problem)


class NotHTTP(ServiceError):
    """What came on the connection can't be parsed, or could be read in two ways."""

    status, code, title, reason = 400, "not_http", "Not a request of HTTP", "invalid"


class NotJSON(ServiceError):
    """The body can't be parsed."""

    status, code, title, reason = 400, "not_json", "The body isn't JSON", "invalid"


class Unauthorized(ServiceError):
    """No key, or none that is known here (RFC 6750)."""

    status, code, title, reason = 401, "unauthorized", "A key is needed", "unauthorized"

    def __init__(self, detail: str, *, unknown: bool = False) -> None:
        super().__init__(detail)
        error = ', error="invalid_token"' if unknown else ""
        self.headers = {"WWW-Authenticate": f'Bearer realm="lockstep"{error}'}


class Forbidden(ServiceError):
    """A key that is known, and not for this."""

    status, code, title, reason = 403, "forbidden", "The key is not for this", "unauthorized"
    headers: Mapping[str, str] = {
        "WWW-Authenticate": 'Bearer realm="lockstep", error="insufficient_scope"'
    }


class NotFound(ServiceError):
    """No such path."""

    status, code, title = 404, "not_found", "No such route"


class ModelNotFound(NotFound):
    """A model that isn't served; the detail names those that are."""

    code, title, reason = "model_not_found", "No such model", "invalid"


class MethodNotAllowed(ServiceError):
    """The path exists, under another method."""

    status, code, title = 405, "method_not_allowed", "Method not allowed"

    def __init__(self, allowed: str) -> None:
        super().__init__(f"this path takes {allowed}")
        self.headers = {"Allow": allowed}


class HeadersTimeout(ServiceError):
    """The headers came too slowly."""

    status, code, title, reason = 408, "headers_timeout", "The headers came too slowly", "invalid"


class BodyTimeout(ServiceError):
    """The body came too slowly."""

    status, code, title, reason = 408, "body_timeout", "The body came too slowly", "invalid"
    headers: Mapping[str, str] = {"Connection": "close"}


class BodyTooLarge(ServiceError):
    """More bytes than the limit."""

    status, code, title, reason = 413, "body_too_large", "The body is too large", "too_large"
    headers: Mapping[str, str] = {"Connection": "close"}


class TextTooLong(ServiceError):
    """A text with more tokens than the limit."""

    status, code, title, reason = 413, "text_too_long", "A text is too long", "too_large"


class NotJSONByType(ServiceError):
    """A content type other than JSON."""

    status, code, title = 415, "unsupported_media_type", "The body must be application/json"
    reason = "invalid"


class EncodedBody(NotJSONByType):
    """A compressed body: none is ever unpacked, so none can be a bomb."""

    code, title = "encoded_body", "The body must not be encoded"
    headers: Mapping[str, str] = {"Accept-Encoding": "identity"}


class Invalid(ServiceError):
    """Fails validation; ``errors`` says where."""

    status, code, title, reason = 422, "invalid", "The request is not valid", "invalid"


class InputTooLong(ServiceError):
    """Longer than the model's window, and the client asked for an error then."""

    status, code, title = 422, "input_past_window", "A text is longer than the model's window"
    reason = "too_large"


class Busy(ServiceError):
    """Too much in flight: requests, tokens or bytes."""

    status, code, title, reason = 429, "busy", "Too much in flight", "busy"

    def __init__(self, detail: str, retry_seconds: int = 1) -> None:
        super().__init__(detail)
        self.headers = {"Retry-After": str(retry_seconds)}


class TooManyConnections(Busy):
    """More connections than the limit; this one ends."""

    code, title = "too_many_connections", "Too many connections"


class HeadersTooLarge(ServiceError):
    """A target and headers of more bytes than the limit."""

    status, code, title = 431, "headers_too_large", "The headers are too large"
    reason = "too_large"


class ClientGone(ServiceError):
    """Nobody waits for the answer any more: metrics and log alone see this, under nginx's code."""

    status, code, title, reason = 499, "client_gone", "The client went away", "client_gone"


class NotReady(ServiceError):
    """No worker is ready."""

    status, code, title, reason = 503, "not_ready", "Not ready", "not_ready"
    headers: Mapping[str, str] = {"Retry-After": "2"}


class WorkerLost(ServiceError):
    """The worker ended while it held the request."""

    status, code, title, reason = 503, "worker_lost", "The worker was lost", "worker_lost"
    headers: Mapping[str, str] = {"Retry-After": "2"}


class DeadlineExceeded(ServiceError):
    """Not answered within ``timeout_ms``."""

    status, code, title, reason = 504, "deadline_exceeded", "Past its deadline", "deadline"

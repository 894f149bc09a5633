"""Errors as responses of the document: problem documents, by status and code."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from typing import Any

import msgspec

from service.api.errors import MEDIA_TYPE, Busy, Invalid, MethodNotAllowed, ServiceError
from service.api.inference_protocol import errors as v2_errors
from service.api.openapi.schemas import plain
from service.api.schema import invalid

EMPTY = "text 1 is empty: it has nothing but white space or control characters"
EXAMPLE_ID = "01M82DXP6E4P5WMVPMY40C9ZR9"
PROBLEM: dict[str, Any] = {"$ref": "#/components/schemas/Problem"}
PROTOCOL_ERROR: dict[str, Any] = {"$ref": "#/components/schemas/ErrorResponse"}

# Headers that come with an error: what they say.
HEADERS = {
    "Accept-Encoding": "codings that are taken: none",
    "Allow": "methods that are",
    "Connection": "`close`: the connection ends",
    "Retry-After": "seconds, after which to try again",
    "WWW-Authenticate": "how to send a key",
}


def tree(base: type[ServiceError] = ServiceError) -> list[type[ServiceError]]:
    """Every error there is, the base first."""
    return [base, *(found for child in base.__subclasses__() for found in tree(child))]


def made(kind: type[ServiceError]) -> ServiceError:
    """One of a kind, with what its docstring says for a detail: for its headers and its body."""
    detail = _first_line(kind)
    if issubclass(kind, MethodNotAllowed):
        return kind("POST")
    if kind is Invalid:
        return invalid([(("inputs", 1), EMPTY)])
    return kind(detail)


def responses(kinds: Iterable[type[ServiceError]], path: str) -> dict[str, Any]:
    """Responses by status, of a route at ``path``."""
    protocol = v2_errors.is_ours(path)
    ranked = sorted(set(kinds), key=lambda kind: (_status(kind, protocol), kind.code))
    return {
        str(status): _response(status, list(group), protocol)
        for status, group in groupby(ranked, key=lambda kind: _status(kind, protocol))
    }


def _status(kind: type[ServiceError], protocol: bool) -> int:
    return v2_errors.status(made(kind)) if protocol else kind.status


def _response(status: int, kinds: list[type[ServiceError]], protocol: bool) -> dict[str, Any]:
    lines = [f"`{kind.code}`: {_first_line(kind)}" for kind in kinds]
    headers = {name for kind in kinds for name in made(kind).headers}
    if protocol:
        media_type, schema = v2_errors.MEDIA_TYPE, PROTOCOL_ERROR
        examples = {kind.code: {"error": f"{kind.title}: {made(kind).detail}"} for kind in kinds}
    else:
        codes = [kind.code for kind in kinds]
        fixed = {"status": {"const": status}, "code": {"enum": codes}}
        media_type, schema = MEDIA_TYPE, {"allOf": [PROBLEM, {"properties": fixed}]}
        examples = {kind.code: problem(kind) for kind in kinds}
    return {
        "description": "\n\n".join(lines),
        "headers": {name: _header(name) for name in sorted(headers)} | REQUEST_ID,
        "content": {
            media_type: {
                "schema": schema,
                "examples": {name: {"value": value} for name, value in examples.items()},
            }
        },
    }


REQUEST_ID = {"X-Request-ID": {"$ref": "#/components/headers/X-Request-ID"}}


def _header(name: str) -> dict[str, Any]:
    kind = "integer" if name == "Retry-After" else "string"
    return {"description": HEADERS[name], "schema": {"type": kind}}


def problem(kind: type[ServiceError]) -> dict[str, Any]:
    """An example of its problem document."""
    found: dict[str, Any] = msgspec.json.decode(made(kind).body(EXAMPLE_ID))
    return found


def _first_line(kind: type[ServiceError]) -> str:
    if kind in (ServiceError, Busy):
        return {ServiceError: "Something failed here.", Busy: "Too much is in flight."}[kind]
    return plain((kind.__doc__ or "").strip().splitlines()[0])

"""What the document says of one route."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import BaseModel

from service.api import errors as e

Example = Mapping[str, Any]
Method = Literal["get", "post"]
Who = Literal["anyone", "clients", "scrapers"]

JSON = "application/json"

# What any request may be told, whatever it asks for.
CONNECTION_ERRORS = (
    e.NotHTTP,
    e.HeadersTimeout,
    e.TooManyConnections,
    e.HeadersTooLarge,
    e.ServiceError,
)
MODEL_NAME: dict[str, Any] = {
    "name": "name",
    "in": "path",
    "required": True,
    "description": "a served model",
    "schema": {"$ref": "#/components/schemas/ModelName"},
}
BODY_ERRORS = (
    e.NotJSON,
    e.BodyTimeout,
    e.BodyTooLarge,
    e.NotJSONByType,
    e.EncodedBody,
    e.Invalid,
    e.Busy,
)
INFERENCE_ERRORS = (
    *BODY_ERRORS,
    e.ModelNotFound,
    e.TextTooLong,
    e.InputTooLong,
    e.NotReady,
    e.WorkerLost,
    e.DeadlineExceeded,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """An answer that isn't an error.

    Attributes:
        description: of it.
        content: what it may be, by media type: a type of ours, a JSON Schema, or nothing.
        examples: by their names, of the first media type.
        headers: of its own, by name: what each says.
    """

    description: str
    content: Mapping[str, type[BaseModel] | Mapping[str, Any]] = field(default_factory=dict)
    examples: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Operation:
    """A route under one method.

    Attributes:
        path: as it is registered.
        method: of HTTP.
        name: for programs; no other has it.
        tag: of the group it is shown in.
        summary: a line.
        description: more, in CommonMark.
        request: the form of its body, if it takes one.
        other_bodies: media types it takes beside JSON: what they hold.
        examples: bodies, by their names.
        parameters: of OpenAPI.
        replies: by status.
        errors: that it may answer beside those of the connection and of keys.
        who: may call it, where keys are set.
    """

    path: str
    method: Method
    name: str
    tag: str
    summary: str
    description: str = ""
    request: type[BaseModel] | None = None
    other_bodies: Mapping[str, str] = field(default_factory=dict)
    examples: Mapping[str, Example] = field(default_factory=dict)
    parameters: tuple[Mapping[str, Any], ...] = ()
    replies: Mapping[int, Reply]
    errors: tuple[type[e.ServiceError], ...] = ()
    who: Who = "clients"


def one(kind: type[BaseModel], description: str, **more: Any) -> dict[int, Reply]:
    """A 200 in JSON; ``more`` as ``Reply`` has it."""
    return {200: Reply(description=description, content={JSON: kind}, **more)}

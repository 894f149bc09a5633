"""The OpenAPI document, put together."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from pydantic import BaseModel

from service.api import errors as e
from service.api.catalogue import Catalogue
from service.api.inference_protocol.schema import ErrorResponse
from service.api.openapi import v1, v2
from service.api.openapi.failures import REQUEST_ID, responses
from service.api.openapi.operation import CONNECTION_ERRORS, JSON, Operation, Reply
from service.api.openapi.schemas import TEMPLATE, bound, schemas
from service.api.replies import Problem
from service.settings import Settings

OPERATIONS = (*v1.OPERATIONS, *v2.OPERATIONS)
TAGS = {
    "Classify": "Texts in, verdicts and their timing out.",
    "Models": "What is served, and what it costs.",
    v2.TAG: "KServe's v2 protocol, for clients written for other servers. Errors are its own.",
    "Operation": "What machines ask.",
    "Page": "What people look at.",
}
# The client may send these with anything.
REQUEST_HEADERS = {
    "RequestID": {
        "name": "X-Request-ID",
        "in": "header",
        "description": "the client's own id for the request; another is made unless it is 1 to 128 "
        "printable ASCII characters",
        "schema": {"type": "string"},
    },
    "TraceParent": {
        "name": "traceparent",
        "in": "header",
        "description": "the trace that the request is part of (W3C Trace Context)",
        "schema": {"type": "string"},
    },
}
KEYS = {"clients": "clientKey", "scrapers": "metricsKey"}


def document(settings: Settings, catalogue: Catalogue) -> dict[str, Any]:
    """The document, of what is served here."""
    kinds = [kind for operation in OPERATIONS for kind in _kinds(operation)]
    found = schemas([*kinds, Problem, ErrorResponse])
    bound(found, settings, catalogue)
    keys = asked(settings)
    paths: dict[str, dict[str, Any]] = {}
    for operation in OPERATIONS:
        where = paths.setdefault(plain(operation.path), {})
        where[operation.method] = _operation(operation, keys)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Lockstep",
            "version": version("lockstep"),
            "summary": "Sentiment, by recurrent and parallel models behind one API.",
            "description": "Every answer says where its time went. Errors are problem documents "
            "(RFC 9457).",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": name, "description": text} for name, text in TAGS.items()],
        "paths": paths,
        "components": {
            "schemas": found,
            "parameters": REQUEST_HEADERS,
            "headers": {
                "X-Request-ID": {
                    "description": "the request's id: the client's own, or one made here",
                    "schema": {"type": "string"},
                }
            },
            "securitySchemes": {
                KEYS[who]: {"type": "http", "scheme": "bearer", "description": f"a key of {who}"}
                for who in KEYS
                if who in keys
            },
        },
    }


def asked(settings: Settings) -> frozenset[str]:
    """Who must send a key."""
    given = {
        "clients": (settings.api_keys, settings.api_keys_file),
        "scrapers": (settings.metrics_keys, settings.metrics_keys_file),
    }
    return frozenset(who for who, set_to in given.items() if any(set_to))


def plain(path: str) -> str:
    """A registered path as OpenAPI writes it: without how a parameter is read."""
    return path.replace(":path}", "}")


def _kinds(operation: Operation) -> list[type[BaseModel]]:
    contents = [
        content for reply in operation.replies.values() for content in reply.content.values()
    ]
    return [kind for kind in (operation.request, *contents) if isinstance(kind, type)]


def _operation(operation: Operation, keys: frozenset[str]) -> dict[str, Any]:
    errors = [*operation.errors, *CONNECTION_ERRORS]
    if operation.who in keys:
        errors.append(e.Unauthorized)
        if len(keys) == len(KEYS):  # a key of the other kind may come
            errors.append(e.Forbidden)
    everywhere = [{"$ref": f"#/components/parameters/{name}"} for name in REQUEST_HEADERS]
    return {
        "operationId": operation.name,
        "tags": [operation.tag],
        "summary": operation.summary,
        **({"description": operation.description} if operation.description else {}),
        "parameters": [*operation.parameters, *everywhere],
        **_body(operation),
        "responses": {
            **{str(status): _reply(reply) for status, reply in operation.replies.items()},
            **responses(errors, operation.path),
        },
        "security": [{KEYS[operation.who]: []}] if operation.who in keys else [],
    }


def _body(operation: Operation) -> dict[str, Any]:
    if operation.request is None:
        return {}
    content: dict[str, Any] = {
        JSON: {"schema": _schema(operation.request), "examples": _examples(operation.examples)}
    }
    for media_type, description in operation.other_bodies.items():
        content[media_type] = {"schema": {"description": description}}
    return {"requestBody": {"required": True, "content": content}}


def _reply(reply: Reply) -> dict[str, Any]:
    content: dict[str, Any] = {
        media_type: {"schema": _schema(kind)} for media_type, kind in reply.content.items()
    }
    if reply.examples:
        content[next(iter(reply.content))]["examples"] = _examples(reply.examples)
    headers = {
        name: {"description": text, "schema": {"type": "string"}}
        for name, text in reply.headers.items()
    }
    return {
        "description": reply.description,
        "headers": headers | REQUEST_ID,
        **({"content": content} if content else {}),
    }


def _schema(kind: type[BaseModel] | Mapping[str, Any]) -> Mapping[str, Any]:
    return {"$ref": TEMPLATE.format(model=kind.__name__)} if isinstance(kind, type) else kind


def _examples(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: {"value": value} for name, value in values.items()}

"""Holding real answers to the OpenAPI document."""

from __future__ import annotations

import re
from typing import Any

from jsonschema import Draft202012Validator


def operation(document: dict[str, Any], method: str, path: str) -> dict[str, Any]:
    """What the document says of a request: by its path, parameters and query left out."""
    bare = path.partition("?")[0]
    for template, operations in document["paths"].items():
        pattern = re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(template))
        if re.fullmatch(pattern, bare) and method.lower() in operations:
            found: dict[str, Any] = operations[method.lower()]
            return found
    raise AssertionError(f"{method} {bare} isn't in the document")


def check(document: dict[str, Any], schema: dict[str, Any], value: Any) -> None:
    """Raises where the value isn't what the schema says."""
    Draft202012Validator({**schema, "components": document["components"]}).validate(value)


def check_answer(document: dict[str, Any], method: str, path: str, answer: Any) -> None:
    """Raises where an answer of httpx isn't one that the document has for such a request."""
    responses = operation(document, method, path)["responses"]
    assert str(answer.status_code) in responses, f"{method} {path}: {answer.status_code}"
    response = responses[str(answer.status_code)]
    assert {name.lower() for name in response["headers"]} - OPTIONAL <= set(answer.headers)
    if "content" not in response:
        return
    media_type = answer.headers["content-type"]
    content = response["content"].get(media_type, response["content"].get("*/*"))
    assert content is not None, f"{method} {path}: {media_type}"
    if media_type.endswith("json"):
        check(document, content["schema"], answer.json())


# Headers that come with some answers of a status alone.
OPTIONAL = {"accept-encoding", "connection", "inference-header-content-length", "retry-after"}

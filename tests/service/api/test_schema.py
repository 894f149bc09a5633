"""What a client may send, checked without a server."""

from __future__ import annotations

import json
from typing import Any

import pytest

from service.api.errors import Invalid, NotJSON
from service.api.schema import parse_classify


def body(**fields: Any) -> bytes:
    return json.dumps(fields).encode()


def test_one_text_is_a_list_of_one() -> None:
    request = parse_classify(body(inputs="fine"))
    assert request.inputs == ["fine"]
    assert (request.model, request.long_input, request.schedule) == (None, "truncate", "auto")


@pytest.mark.parametrize("text", ["😀", "נהדר", "a\u0000b", "很好", "é́"])
def test_any_unicode_text_is_taken(text: str) -> None:
    assert parse_classify(body(inputs=[text])).inputs == [text]


@pytest.mark.parametrize(
    "raw",
    [b"", b"{", b"nonsense", b'{"inputs": "a"} trailing', b'{"inputs": "\\ud800"}', b"\xff\xfe"],
)
def test_what_cannot_be_parsed_is_not_json(raw: bytes) -> None:
    with pytest.raises(NotJSON):
        parse_classify(raw)


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({}, ["inputs"]),
        ({"inputs": []}, ["inputs"]),
        ({"inputs": None}, ["inputs"]),
        ({"inputs": 3}, ["inputs"]),
        ({"inputs": {"a": "b"}}, ["inputs"]),
        ({"inputs": ["a", 3, "c"]}, ["inputs", 1]),
        ({"inputs": "a", "model": 3}, ["model"]),
        ({"inputs": "a", "long_input": "shred"}, ["long_input"]),
        ({"inputs": "a", "schedule": "sideways"}, ["schedule"]),
        ({"inputs": "a", "timeout_ms": 0}, ["timeout_ms"]),
        ({"inputs": "a", "timeout_ms": "soon"}, ["timeout_ms"]),
        ({"inputs": "a", "timeout_ms": True}, ["timeout_ms"]),
        ({"inputs": "a", "surprise": 1}, ["surprise"]),
    ],
)
def test_wrong_field_is_named_by_its_place(fields: dict[str, Any], place: list[Any]) -> None:
    with pytest.raises(Invalid) as caught:
        parse_classify(body(**fields))
    assert [error["loc"] for error in caught.value.errors or []] == [place]


@pytest.mark.parametrize("raw", [b"[]", b'"text"', b"null", b"3"])
def test_body_that_is_no_object_is_invalid(raw: bytes) -> None:
    with pytest.raises(Invalid, match="the body"):
        parse_classify(raw)


def test_error_never_echoes_a_text() -> None:
    with pytest.raises(Invalid) as caught:
        parse_classify(body(inputs=["secret words", 3], long_input="secret words"))
    assert b"secret" not in caught.value.body("id")

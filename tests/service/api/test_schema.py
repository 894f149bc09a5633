"""What a client may send, checked without a server."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.api.errors import Invalid, NotJSON, ServiceError
from service.api.schema import parse_classify, parse_compare


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


@pytest.mark.parametrize(
    ("raw", "error"),
    [
        (b"[" * 100_000, NotJSON),
        (b'{"inputs": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", NotJSON),
        (b'{"inputs": ' + b'{"a":' * 100_000 + b"1" + b"}" * 100_001, NotJSON),
        (b'{"inputs": ' + b"1" * 1_000_000 + b"}", NotJSON),
        (b'{"inputs": "a", "timeout_ms": NaN}', Invalid),
        (b'{"inputs": "a", "timeout_ms": Infinity}', Invalid),
        (b'{"inputs": "a", "timeout_ms": 1e999}', Invalid),
        (b'{"inputs": "a", "timeout_ms": 1' + b"0" * 400 + b"}", Invalid),
        (b'{"inputs": NaN}', Invalid),
        ('{"inputs": "a"}'.encode("utf-16"), NotJSON),
        ('{"inputs": "a"}'.encode("utf-32"), NotJSON),
        ('{"inputs": "a"}'.encode("utf-8-sig"), NotJSON),
        ('{"inputs": "caf\u00e9"}'.encode("latin-1"), NotJSON),
        (b'{"inputs": "a\x00b"}', NotJSON),
    ],
)
def test_hostile_json_is_refused(raw: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        parse_classify(raw)


def test_last_of_two_equal_keys_counts() -> None:
    request = parse_classify(b'{"inputs": "one", "model": "a", "inputs": "two", "model": "b"}')
    assert (request.inputs, request.model) == (["two"], "b")


@pytest.mark.parametrize("name", ["inputs", "models"])
def test_list_is_left_at_its_first_fault(name: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse_compare(body(**{"inputs": "a", name: [3] * 100_000}))
    assert [error["loc"][-1] for error in caught.value.errors or []] == [0]


def test_too_many_faults_are_counted_and_not_named() -> None:
    with pytest.raises(Invalid, match="1000 things are wrong") as caught:
        parse_classify(body(inputs="a", **{f"x{number}": 1 for number in range(1000)}))
    assert caught.value.errors is None


def test_long_name_of_a_field_is_cut() -> None:
    with pytest.raises(Invalid) as caught:
        parse_classify(body(inputs="a", **{"x" * 1_000_000: 1}))
    assert len(caught.value.body("id")) < 1000


def values() -> st.SearchStrategy[Any]:
    """Anything JSON can say, odd numbers included."""
    leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
    return st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5),
        max_leaves=10,
    )


FIELDS = ["inputs", "model", "models", "baseline", "long_input", "schedule", "timeout_ms"]


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    st.binary(max_size=100)
    | st.dictionaries(st.sampled_from(FIELDS) | st.text(max_size=5), values()).map(
        lambda fields: json.dumps(fields).encode()
    )
)
@pytest.mark.parametrize("parse", [parse_classify, parse_compare])
def test_whatever_comes_is_a_request_or_a_clients_fault(
    parse: Callable[[bytes], Any], raw: bytes
) -> None:
    assert is_request_or_clients_fault(parse, raw)


def is_request_or_clients_fault(parse: Callable[[bytes], Any], raw: bytes) -> bool:
    try:
        return bool(parse(raw).inputs)
    except ServiceError as error:
        told: int = json.loads(error.body("id"))["status"]
        return told == error.status and 400 <= told < 500

"""What a client may send, checked without a server."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.api.errors import Invalid, NotJSON, ServiceError
from service.api.schema import (
    MOST_VALUES,
    VALUES_OF_A_TEXT,
    has_more_values,
    parse_classify,
    parse_compare,
)

MOST = 128  # texts of a request
LARGEST = 8_000_000  # bytes of a body


def body(**fields: Any) -> bytes:
    return json.dumps(fields).encode()


def test_one_text_is_a_list_of_one() -> None:
    request = parse_classify(body(inputs="fine"), MOST)
    assert request.inputs == ["fine"]
    assert (request.model, request.long_input, request.schedule) == (None, "truncate", "auto")


@pytest.mark.parametrize("text", ["😀", "נהדר", "a\u0000b", "很好", "é́"])
def test_any_unicode_text_is_taken(text: str) -> None:
    assert parse_classify(body(inputs=[text]), MOST).inputs == [text]


@pytest.mark.parametrize(
    "raw",
    [b"", b"{", b"nonsense", b'{"inputs": "a"} trailing', b'{"inputs": "\\ud800"}', b"\xff\xfe"],
)
def test_what_cannot_be_parsed_is_not_json(raw: bytes) -> None:
    with pytest.raises(NotJSON):
        parse_classify(raw, MOST)


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
        parse_classify(body(**fields), MOST)
    assert [error["loc"] for error in caught.value.errors or []] == [place]


@pytest.mark.parametrize("raw", [b"[]", b'"text"', b"null", b"3"])
def test_body_that_is_no_object_is_invalid(raw: bytes) -> None:
    with pytest.raises(Invalid, match="the body"):
        parse_classify(raw, MOST)


def test_error_never_echoes_a_text() -> None:
    with pytest.raises(Invalid) as caught:
        parse_classify(body(inputs=["secret words", 3], long_input="secret words"), MOST)
    assert b"secret" not in caught.value.body("id")


@pytest.mark.parametrize(
    ("raw", "error"),
    [
        (b"[" * 40_000, NotJSON),
        (b'{"inputs": ' + b"[" * 40_000 + b"]" * 40_000 + b"}", NotJSON),
        (b'{"inputs": ' + b'{"a":' * 40_000 + b"1" + b"}" * 40_001, NotJSON),
        (b'{"inputs": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", Invalid),
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
        parse_classify(raw, MOST)


def test_last_of_two_equal_keys_counts() -> None:
    request = parse_classify(
        b'{"inputs": "one", "model": "a", "inputs": "two", "model": "b"}', MOST
    )
    assert (request.inputs, request.model) == (["two"], "b")


@pytest.mark.parametrize("name", ["inputs", "models"])
def test_list_is_left_at_its_first_fault(name: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse_compare(body(**{"inputs": "a", name: [3] * 40_000}), MOST)
    assert [error["loc"][-1] for error in caught.value.errors or []] == [0]


@pytest.mark.parametrize(
    "part",
    [
        b"[]",
        b"{}",
        b"1",
        b'""',
        b'"a, [b], {c}"',
        b"[" * 100 + b"]" * 100,
        b'{"a":' * 100 + b"1" + b"}" * 100,
        b'"inputs": []',
        b'"inputs": "a"',
    ],
)
@pytest.mark.parametrize("parse", [parse_classify, parse_compare])
def test_body_of_more_values_than_any_request_has_is_not_parsed(
    parse: Callable[[bytes, int], Any], part: bytes
) -> None:
    """Parsed, the fourth from the end takes seconds and a gigabyte to refuse."""
    listed = b",".join([part] * (LARGEST // (len(part) + 1)))
    opening, closing = (b"{", b"}") if part.startswith(b'"inputs"') else (b'{"inputs": [', b"]}")
    with pytest.raises(Invalid, match="the body has more than 50256 values"):
        parse(opening + listed + closing, MOST)


def test_texts_of_any_size_are_as_many_values_as_they_are() -> None:
    texts = ['[{"a, b": "c\\", \n' * 3000] * MOST
    assert len(body(inputs=texts)) > LARGEST
    assert parse_classify(body(inputs=texts), MOST).inputs == texts
    most = MOST_VALUES + VALUES_OF_A_TEXT * 100_000
    assert len(parse_classify(body(inputs=["a"] * 100_000), 100_000).inputs) < most


def test_too_many_faults_are_counted_and_not_named() -> None:
    with pytest.raises(Invalid, match="1000 things are wrong") as caught:
        parse_classify(body(inputs="a", **{f"x{number}": 1 for number in range(1000)}), MOST)
    assert caught.value.errors is None


def test_long_name_of_a_field_is_cut() -> None:
    with pytest.raises(Invalid) as caught:
        parse_classify(body(inputs="a", **{"x" * 1_000_000: 1}), MOST)
    assert len(caught.value.body("id")) < 1000


def values() -> st.SearchStrategy[Any]:
    """Anything JSON can say, odd numbers included."""
    leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
    return st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5),
        max_leaves=10,
    )


def counted(value: Any) -> int:
    """Values within a value, and one more for each that is empty and could have some."""
    if not isinstance(value, list | dict):
        return 0
    inner = list(value.values()) if isinstance(value, dict) else value
    return max(1, len(inner)) + sum(map(counted, inner))


HOSTILE = st.text('",[]{}:\\\\\\n a', max_size=20)


@settings(max_examples=500, deadline=None, derandomize=True)
@given(
    st.recursive(
        HOSTILE | st.integers() | st.none(),
        lambda inner: st.lists(inner) | st.dictionaries(HOSTILE, inner),
        max_leaves=30,
    ),
    st.booleans(),
)
def test_values_are_counted_as_a_parser_would(value: Any, ascii_alone: bool) -> None:
    raw = json.dumps(value, ensure_ascii=ascii_alone).encode()
    count = counted(value)
    assert not has_more_values(raw, count)
    if count and len(raw) > count:
        assert has_more_values(raw, count - 1)


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
    parse: Callable[[bytes, int], Any], raw: bytes
) -> None:
    assert is_request_or_clients_fault(parse, raw)


def is_request_or_clients_fault(parse: Callable[[bytes, int], Any], raw: bytes) -> bool:
    try:
        return bool(parse(raw, MOST).inputs)
    except ServiceError as error:
        told: int = json.loads(error.body("id"))["status"]
        return told == error.status and 400 <= told < 500

"""The binary tensor data extension's layouts: what was written is read, and nothing else is."""

from __future__ import annotations

import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.api.inference_protocol.binary import (
    BinaryError,
    as_fp32,
    header_length,
    read_elements,
    split,
    write_elements,
    write_fp32,
)


def test_element_is_its_length_and_itself() -> None:
    assert write_elements(["ab", "", "é"]) == b"\2\0\0\0ab" + b"\0\0\0\0" + b"\2\0\0\0\xc3\xa9"


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]))))
def test_elements_are_read_as_they_were_written(texts: list[str]) -> None:
    elements = read_elements(write_elements(texts), len(texts))
    assert [element.decode() for element in elements] == texts


@given(st.binary(max_size=60), st.integers(0, 5))
def test_any_bytes_are_whole_elements_or_refused(data: bytes, count: int) -> None:
    try:
        elements = read_elements(data, count)
    except BinaryError:
        return
    assert b"".join(struct.pack("<I", len(one)) + one for one in elements) == data
    assert len(elements) == count


@pytest.mark.parametrize(
    ("data", "count", "message"),
    [
        (b"", 1, "end before the length of element 0"),
        (b"\1\0\0", 1, "end before the length of element 0"),
        (b"\1\0\0\0", 1, "element 0 has 1 bytes by its length, and 0 follow"),
        (b"\1\0\0\0a\xff\xff\xff\xffb", 2, "element 1 has 4294967295 bytes"),
        (b"\0\0\0\1a", 1, "element 0 has 16777216 bytes"),  # big-endian
        (b"\1\0\0\0ab", 1, "1 bytes follow the last of 1 elements"),
        (b"\0\0\0\0" * 3, 2, "4 bytes follow the last of 2 elements"),
    ],
)
def test_sizes_that_disagree_are_told(data: bytes, count: int, message: str) -> None:
    with pytest.raises(BinaryError, match=message):
        read_elements(data, count)


def test_header_is_one_plain_number() -> None:
    assert header_length([]) is None
    assert header_length(["0"]) == 0
    assert header_length([" 17 "]) == 17


@pytest.mark.parametrize(
    "values",
    [["1", "1"], [""], ["-1"], ["+1"], ["1.0"], ["0x10"], ["1_0"], ["1, 1"], ["²"], ["9" * 400]],
)
def test_other_header_is_refused(values: list[str]) -> None:
    with pytest.raises(BinaryError, match="one whole number"):
        header_length(values)


def test_body_is_split_where_the_header_says() -> None:
    assert split(b"{}abc", 2) == (b"{}", b"abc")
    with pytest.raises(BinaryError, match="is 6, and the body has 5 bytes"):
        split(b"{}abc", 6)


def test_fp32_is_little_endian() -> None:
    assert write_fp32([1.0, -2.0]) == bytes.fromhex("0000803f000000c0")


@given(st.lists(st.floats(0, 1)))
def test_rounded_numbers_are_those_that_are_written(values: list[float]) -> None:
    rounded = as_fp32(values)
    assert write_fp32(rounded) == write_fp32(values)
    assert all(
        math.isclose(a, b, rel_tol=1e-7, abs_tol=1e-44)
        for a, b in zip(rounded, values, strict=True)
    )

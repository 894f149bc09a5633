"""The binary tensor data extension's layouts, as pure functions.

A body is a JSON object of ``Inference-Header-Content-Length`` bytes, then each binary tensor in the
order of the JSON. Little-endian throughout; an element of BYTES is its length, a 4-byte unsigned
integer, and then itself.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence

HEADER = "inference-header-content-length"
LENGTH = struct.Struct("<I")
LONGEST_DIGITS = 18  # of a header's number; more don't fit in what any body can have


class BinaryError(ValueError):
    """Bytes that aren't laid out as they say; the message says how, and never echoes them."""


def header_length(values: Sequence[str]) -> int | None:
    """The size of the JSON, from every value of the header that was sent; None for no header.

    Raises:
        BinaryError: it was sent twice, or isn't a plain number.
    """
    if not values:
        return None
    value = values[0].strip()
    plain = value.isascii() and value.isdecimal() and len(value) <= LONGEST_DIGITS
    if len(values) > 1 or not plain:
        raise BinaryError("the header Inference-Header-Content-Length must be one whole number")
    return int(value)


def split(body: bytes, length: int) -> tuple[bytes, bytes]:
    """The JSON and what is behind it. Raises BinaryError if the body is shorter than ``length``."""
    if length > len(body):
        raise BinaryError(
            f"Inference-Header-Content-Length is {length}, and the body has {len(body)} bytes"
        )
    return body[:length], body[length:]


def read_elements(data: bytes, count: int) -> list[bytes]:
    """The elements of a BYTES tensor.

    Args:
        data: all of its bytes.
        count: of its elements.

    Raises:
        BinaryError: they aren't exactly that many.
    """
    elements, start = [], 0
    for index in range(count):
        if start + LENGTH.size > len(data):
            raise BinaryError(f"{len(data)} bytes end before the length of element {index}")
        (size,) = LENGTH.unpack_from(data, start)
        start += LENGTH.size
        if start + size > len(data):
            raise BinaryError(
                f"element {index} has {size} bytes by its length, and {len(data) - start} follow"
            )
        elements.append(data[start : start + size])
        start += size
    if start < len(data):
        raise BinaryError(f"{len(data) - start} bytes follow the last of {count} elements")
    return elements


def write_elements(elements: Iterable[str]) -> bytes:
    """A BYTES tensor of texts, in UTF-8."""
    encoded = [element.encode() for element in elements]
    return b"".join(part for one in encoded for part in (LENGTH.pack(len(one)), one))


def write_fp32(values: Sequence[float]) -> bytes:
    """An FP32 tensor."""
    return struct.pack(f"<{len(values)}f", *values)


def as_fp32(values: Sequence[float]) -> list[float]:
    """The nearest numbers that FP32 has, so that every form of a tensor says the same."""
    return list(struct.unpack(f"<{len(values)}f", write_fp32(values)))

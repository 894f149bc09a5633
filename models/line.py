"""A batch as a native call reads it: its texts' ids alone, one after another."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Self

from models.errors import InputError


@dataclass(frozen=True, slots=True)
class Line:
    """Some texts.

    Attributes:
        ids: (N,) int32, of all tokens.
        starts: (B + 1,) int32, where each text begins, and where the last ends.
        longest: tokens of the longest text.
    """

    ids: array[int]
    starts: array[int]
    longest: int

    @classmethod
    def of(cls, texts: Sequence[Sequence[int]]) -> Self:
        """Raises InputError where a text has no tokens, or an id is larger than any can be."""
        ids = joined(texts)
        lengths = list(map(len, texts))
        if not lengths or not all(lengths):
            raise InputError("a text has no tokens")
        return cls(ids, starts(lengths), max(lengths))

    @property
    def texts(self) -> int:
        """B."""
        return len(self.starts) - 1


def joined(texts: Iterable[Iterable[int]]) -> array[int]:
    """Their ids, int32. Raises InputError where one is larger than any can be."""
    ids = array("i")
    try:
        for text in texts:
            ids.extend(text)
    except OverflowError as error:
        raise InputError(f"an id is no token's: {error}") from error
    return ids


def starts(lengths: Iterable[int]) -> array[int]:
    """Where texts of these lengths begin, and where the last ends."""
    return array("i", accumulate(lengths, initial=0))

"""How long a forward takes, by its shape: a fit to those that ran. No torch."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

KEPT = 16  # forwards of like shape, the newest
FASTEST = 4  # of those, which count: whatever else the machine does only adds
EQUAL = 1e-9  # errors that differ by no more do by rounding alone: the first choice of terms stays

Key = tuple[str, str | None]  # a model and a schedule


@dataclass(frozen=True, slots=True)
class ForwardCost:
    """Seconds of a forward over texts padded to T, n of them: ``start + step·T + n·row(T)``.

    Where texts are computed at their own lengths (``models/layout.py``, ``models/ragged.py``),
    padding costs nothing and each adds its own ``row(length)``.

    Attributes:
        start: of any forward.
        step: a position, however many rows: what a recurrence pays to go one word on.
        token: a position of a row.
        pair: two positions of a row: attention.
        padded: whether texts are padded.
    """

    start: float
    step: float
    token: float
    pair: float = 0.0
    padded: bool = True

    def fixed(self, length: int) -> float:
        """Seconds of a forward that are spent however few rows ride."""
        return self.start + self.step * length

    def row(self, length: int) -> float:
        """Seconds that each row adds."""
        return (self.token + self.pair * length) * length

    def seconds(self, rows: int, length: int) -> float:
        """Of a forward of ``rows`` rows of ``length``."""
        return self.fixed(length) + rows * self.row(length)

    def of(self, lengths: Sequence[int]) -> float:
        """Seconds of a forward over texts of these lengths."""
        longest = max(lengths)
        return self.fixed(longest) + sum(map(self.row, rows_read(lengths, self.padded)))


def rows_read(lengths: Sequence[int], padded: bool) -> Sequence[int]:
    """How long each text's row is."""
    return [max(lengths)] * len(lengths) if padded else lengths


@dataclass(frozen=True, slots=True)
class Measured:
    """One forward that was timed.

    Attributes:
        longest: tokens of the longest text.
        tokens: of all rows that were read.
        pairs: of all rows that were read: each as long as a row, squared.
        seconds: that it took.
    """

    longest: int
    tokens: int
    pairs: int
    seconds: float

    @classmethod
    def of(cls, rows: Sequence[int], seconds: float) -> Self:
        """A forward over rows of these lengths."""
        return cls(max(rows), sum(rows), sum(length * length for length in rows), seconds)


class Observations:
    """The forwards that ran of late, and what they say of the cost of others.

    Args:
        unpadded: models that compute texts at their own lengths.
    """

    def __init__(self, unpadded: Container[str] = ()) -> None:
        self._unpadded = unpadded
        self._like: dict[Key, dict[tuple[int, int], deque[Measured]]] = {}

    def add(self, key: Key, lengths: Sequence[int], seconds: float) -> None:
        """One more, over texts of these lengths; of those like it the oldest may go.

        Like it are those of about as many full rows of about that length, each within a factor
        of 2.
        """
        forward = Measured.of(rows_read(lengths, self._padded(key)), seconds)
        rows = forward.tokens // forward.longest
        like = rows.bit_length(), (forward.longest - 1).bit_length()
        of_model = self._like.setdefault(key, {})
        of_model.setdefault(like, deque(maxlen=KEPT)).append(forward)

    def cost(self, key: Key) -> ForwardCost:
        """Of a model and schedule of which something ran."""
        return fit(_fastest(self._like[key].values()), padded=self._padded(key))

    def costs(self) -> dict[Key, ForwardCost]:
        """Of each model and schedule of which anything ran."""
        return {key: self.cost(key) for key in self._like}

    def _padded(self, key: Key) -> bool:
        return key[0] not in self._unpadded


def _fastest(groups: Iterable[Iterable[Measured]]) -> list[Measured]:
    return [
        one
        for group in groups
        for one in sorted(group, key=lambda one: one.seconds / one.tokens)[:FASTEST]
    ]


def fit(measured: Sequence[Measured], *, padded: bool = True) -> ForwardCost:
    """The cost nearest to what was measured, by the squares of the relative errors.

    No term is negative: of every choice of terms, solved by least squares, the best is taken that
    has none.

    Raises:
        ValueError: nothing was measured.
    """
    if not measured:
        raise ValueError("no forward was measured")
    seconds = np.array([one.seconds for one in measured])
    terms = np.array([(1.0, one.longest, one.tokens, one.pairs) for one in measured])
    terms /= seconds[:, None]
    best, least = np.zeros(4), np.inf
    for count in range(1, min(4, len(measured)) + 1):
        for chosen in itertools.combinations(range(4), count):
            columns = terms[:, chosen]
            weights = np.linalg.lstsq(columns, np.ones(len(seconds)))[0]
            error = float(np.square(columns @ weights - 1).sum())
            if (weights >= 0).all() and error < least - EQUAL:
                best, least = np.zeros(4), error
                best[list(chosen)] = weights
    start, step, token, pair = map(float, best)
    return ForwardCost(start, step, token, pair, padded)


def relative_errors(cost: ForwardCost, measured: Sequence[Measured]) -> list[float]:
    """How far the fit is from each forward that was timed, as a share of it."""
    return [
        abs(
            (cost.fixed(one.longest) + cost.token * one.tokens + cost.pair * one.pairs)
            / one.seconds
            - 1
        )
        for one in measured
    ]

"""How long a forward takes, by its shape: a fit to those that ran. No torch."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass

import numpy as np

KEPT = 16  # forwards of like shape, the newest
FASTEST = 4  # of those, which count: whatever else the machine does only adds

Key = tuple[str, str | None]  # a model and a schedule


@dataclass(frozen=True, slots=True)
class Measured:
    """One forward that was timed: (rows, length) is its (B, T)."""

    rows: int
    length: int
    seconds: float


@dataclass(frozen=True, slots=True)
class ForwardCost:
    """Seconds of a forward of shape (B, T): ``start + step·T + token·B·T + pair·B·T²``.

    Attributes:
        start: of any forward.
        step: a position, however many rows: what a recurrence pays to go one word on.
        token: a position of a row.
        pair: two positions of a row: attention.
    """

    start: float
    step: float
    token: float
    pair: float = 0.0

    def fixed(self, length: int) -> float:
        """Seconds of a forward that are spent however few rows ride."""
        return self.start + self.step * length

    def row(self, length: int) -> float:
        """Seconds that each row adds."""
        return (self.token + self.pair * length) * length

    def seconds(self, rows: int, length: int) -> float:
        """Of a forward of ``rows`` rows, padded to ``length``."""
        return self.fixed(length) + rows * self.row(length)


class Observations:
    """The forwards that ran of late, and what they say of the cost of others."""

    def __init__(self) -> None:
        self._like: dict[Key, dict[tuple[int, int], deque[Measured]]] = {}

    def add(self, key: Key, forward: Measured) -> None:
        """One more; of those of like shape (within a factor of 2 each way) the oldest may go."""
        like = forward.rows.bit_length(), (forward.length - 1).bit_length()
        of_model = self._like.setdefault(key, {})
        of_model.setdefault(like, deque(maxlen=KEPT)).append(forward)

    def cost(self, key: Key) -> ForwardCost:
        """Of a model and schedule of which something ran."""
        return fit(_fastest(self._like[key].values()))

    def costs(self) -> dict[Key, ForwardCost]:
        """Of each model and schedule of which anything ran."""
        return {key: self.cost(key) for key in self._like}


def _fastest(groups: Iterable[Iterable[Measured]]) -> list[Measured]:
    return [
        one
        for group in groups
        for one in sorted(group, key=lambda one: one.seconds / (one.rows * one.length))[:FASTEST]
    ]


def fit(measured: Sequence[Measured]) -> ForwardCost:
    """The cost nearest to what was measured, by the squares of the relative errors.

    No term is negative: of every choice of terms, solved by least squares, the best is taken that
    has none.

    Raises:
        ValueError: nothing was measured.
    """
    if not measured:
        raise ValueError("no forward was measured")
    seconds = np.array([one.seconds for one in measured])
    B, T = (np.array([getattr(one, name) for one in measured]) for name in ("rows", "length"))
    terms = np.stack([np.ones(len(T)), T, B * T, B * T * T], axis=1) / seconds[:, None]
    best, least = np.zeros(4), np.inf
    for count in range(1, min(4, len(measured)) + 1):
        for chosen in itertools.combinations(range(4), count):
            columns = terms[:, chosen]
            weights = np.linalg.lstsq(columns, np.ones(len(seconds)))[0]
            error = float(np.square(columns @ weights - 1).sum())
            if (weights >= 0).all() and error < least:
                best, least = np.zeros(4), error
                best[list(chosen)] = weights
    return ForwardCost(*map(float, best))


def relative_errors(cost: ForwardCost, measured: Sequence[Measured]) -> list[float]:
    """How far the fit is from each forward that was timed, as a share of it."""
    return [abs(cost.seconds(one.rows, one.length) / one.seconds - 1) for one in measured]


def to_list(cost: ForwardCost) -> list[float]:
    """Plain values for JSON; ``ForwardCost(*values)`` takes them back."""
    return list(astuple(cost))

"""What follows from the cells of ``gap.py``: fits along the length, and ratios to a baseline."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy

from bench.gap import Cell, How, Line


@dataclass(frozen=True, slots=True)
class Fit:
    """Forward seconds as a + b·T + c·T², none of the three below 0.

    Attributes:
        a: seconds, b: seconds a token, c: seconds a pair of tokens.
        error: root mean square of the relative residuals.
        worst: the largest of them.
    """

    a: float
    b: float
    c: float
    error: float
    worst: float


def fit(lengths: Sequence[int], seconds: Sequence[float]) -> Fit | None:
    """Least squares of the relative errors; None for fewer than four lengths, which any fit meets.

    Of three coefficients that may not fall below 0, the best set is found by trying each.
    """
    if len(lengths) < 4:
        return None
    powers = numpy.vander(numpy.asarray(lengths, dtype=float), 3, increasing=True)  # 1, T, T²
    scaled = powers / numpy.asarray(seconds)[:, None]
    best = None
    for kept in [k for n in (1, 2, 3) for k in itertools.combinations(range(3), n)]:
        solution = numpy.linalg.lstsq(scaled[:, kept], numpy.ones(len(lengths)), rcond=None)[0]
        if (solution < 0).any():
            continue
        residuals = scaled[:, kept] @ solution - 1
        error = float(numpy.sqrt(numpy.mean(residuals**2)))
        if best is None or error < best.error:
            coefficients = [0.0, 0.0, 0.0]
            for place, value in zip(kept, solution, strict=True):
                coefficients[place] = float(value)
            a, b, c = coefficients
            best = Fit(a, b, c, error, float(numpy.abs(residuals).max()))
    return best


def fits(cells: Sequence[Cell]) -> dict[tuple[Line, int], Fit]:
    """A fit for each line and batch size that has one."""
    found = {}
    for line, batch in dict.fromkeys((cell.line, cell.batch) for cell in cells):
        along = [cell for cell in cells if (cell.line, cell.batch) == (line, batch)]
        fitted = fit([cell.length for cell in along], [cell.times.median for cell in along])
        if fitted:
            found[line, batch] = fitted
    return found


def ratios(cells: Sequence[Cell], baseline: str) -> dict[tuple[Line, int, int], float]:
    """Median of each cell over that of the model ``baseline`` in the same place.

    By line, length and batch; none where the baseline wasn't timed, for its window's sake. Where
    it has two schedules the faster counts.
    """
    seconds: dict[tuple[str, How, int, int], float] = {}
    for cell in cells:
        if cell.line.model == baseline:
            place = (cell.line.dtype, cell.line.how, cell.length, cell.batch)
            seconds[place] = min(cell.times.median, seconds.get(place, cell.times.median))
    return {
        (cell.line, cell.length, cell.batch): cell.times.median / seconds[place]
        for cell in cells
        if (place := (cell.line.dtype, cell.line.how, cell.length, cell.batch)) in seconds
    }


def lines_of(cells: Sequence[Cell]) -> list[Line]:
    """Each once, in order."""
    return list(dict.fromkeys(cell.line for cell in cells))

"""What ``lockstep bench gap`` measured, as JSON and as a page of tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from bench.breakdown import Breakdown
from bench.gap import Cell
from bench.gap_figures import Fit, fits, lines_of, ratios
from bench.hardware import Peak

NOTHING = "-"

Value = Callable[[Cell], str]


@dataclass(frozen=True, slots=True)
class Report:
    """Everything one run found.

    Attributes:
        command: as it was typed.
        hardware: of ``hardware.describe_hardware``.
        peaks: the best matrix product, by dtype.
        baseline: the model that the others are compared with.
        cells: the measurements.
        remarks: what was left out, and why.
        breakdowns: of the baseline's forwards at the longest length.
    """

    command: str
    hardware: Mapping[str, Any]
    peaks: Mapping[str, Peak]
    baseline: str
    cells: Sequence[Cell]
    remarks: Sequence[str]
    breakdowns: Sequence[Breakdown] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, durations in seconds; no date: equal figures are equal files."""
        against = ratios(self.cells, self.baseline)
        found = fits(self.cells)
        return {
            "command": self.command,
            "hardware": dict(self.hardware),
            "peaks": {dtype: asdict(peak) for dtype, peak in self.peaks.items()},
            "baseline": self.baseline,
            "remarks": list(self.remarks),
            "cells": [
                {
                    **asdict(cell.line),
                    "length": cell.length,
                    "batch": cell.batch,
                    "samples": cell.times.samples,
                    "forward_seconds": short(cell.times.median),
                    "forward_seconds_quartiles": [
                        short(cell.times.first_quartile),
                        short(cell.times.third_quartile),
                    ],
                    "forward_seconds_least": short(cell.times.least),
                    "wall_seconds": short(cell.times.wall),
                    "seconds_per_token": short(cell.seconds_per_token),
                    "sequential_depth": cell.steps,
                    "flops": cell.flops,
                    "flops_per_second": short(cell.flops_per_second),
                    "share_of_peak": short(self.share(cell)),
                    "ratio": short(against.get((cell.line, cell.length, cell.batch))),
                }
                for cell in self.cells
            ],
            "fits": [
                {**asdict(line), "batch": batch}
                | {name: short(value) for name, value in asdict(fitted).items()}
                for (line, batch), fitted in found.items()
            ],
            "breakdowns": [
                asdict(one)
                | {"seconds": short(one.seconds)}
                | {"shares": {kind: short(share) for kind, share in one.shares.items()}}
                for one in self.breakdowns
            ],
        }

    def share(self, cell: Cell) -> float:
        """Operations a second, of those of the best matrix product in that dtype."""
        return cell.flops_per_second / self.peaks[cell.line.dtype].flops_per_second


def short(value: float | None) -> float | None:
    """Four significant digits: no clock here gives more."""
    return None if value is None else float(f"{value:.4g}")


def page(report: Report) -> str:
    """All of it in Markdown."""
    parts = [
        "# The gap: forwards alone",
        f"Made by\n\n```sh\n{report.command}\n```",
        "on " + "; ".join(f"{name} {value}" for name, value in report.hardware.items()) + ".",
        *(
            f"Best matrix product in {dtype}: {peak.flops_per_second / 1e9:,.0f} GFLOP/s "
            f"({peak.path}, {peak.size} x {peak.size})."
            for dtype, peak in report.peaks.items()
        ),
        *(f"{remark[:1].upper()}{remark[1:]}." for remark in report.remarks),
    ]
    if any(cell.line.random_weights for cell in report.cells):
        parts.append("\\* Untrained weights: none are shipped, and time doesn't depend on them.")
    parts.append("## Steps that wait for one another")
    first = report.cells[0]
    alike = [
        cell
        for cell in report.cells
        if (cell.batch, cell.line.dtype, cell.line.how) == (first.batch, first.line.dtype, "eager")
    ]
    parts.append(markdown(grid(alike, lambda cell: f"{cell.steps:,}")))
    for dtype, how in dict.fromkeys((cell.line.dtype, cell.line.how) for cell in report.cells):
        parts.append(f"## {dtype}, {how}")
        some = [c for c in report.cells if (c.line.dtype, c.line.how) == (dtype, how)]
        for batch in dict.fromkeys(cell.batch for cell in some):
            these = [cell for cell in some if cell.batch == batch]
            parts.extend(sections(report, these, f"batch {batch}"))
    if report.breakdowns:
        parts += [
            "## What a forward's time goes into",
            "By torch's profiler, kernel by kernel.",
            markdown(kinds_table(report.breakdowns)),
        ]
    return "\n\n".join(parts) + "\n"


def summary_tables(report: Report) -> dict[str, list[list[str]]]:
    """Median forwards in milliseconds, a table a dtype, way to run and batch size, by its title."""
    tables = {}
    for dtype, how, batch in dict.fromkeys(
        (cell.line.dtype, cell.line.how, cell.batch) for cell in report.cells
    ):
        some = [
            cell
            for cell in report.cells
            if (cell.line.dtype, cell.line.how, cell.batch) == (dtype, how, batch)
        ]
        title = f"Forward in ms, {dtype}, {how}, batch {batch}"
        tables[title] = grid(some, lambda cell: figure(cell.times.median * 1e3))
    return tables


def sections(report: Report, cells: Sequence[Cell], where: str) -> list[str]:
    """The tables of one batch size, dtype and way to run."""
    against, found = ratios(cells, report.baseline), fits(cells)

    def ratio(cell: Cell) -> str:
        value = against.get((cell.line, cell.length, cell.batch))
        return NOTHING if value is None else f"{value:.2f}"

    rows = grid(cells, spread)
    fitted = {(line.name): text_of(fit) for (line, _), fit in found.items()}
    rows = [
        [*row, "a + b·T + c·T²" if not at else fitted.get(row[0], NOTHING)]
        for at, row in enumerate(rows)
    ]
    tables = {
        "forward in ms, median (quartiles)": rows,
        f"ratio to {report.baseline}": grid(cells, ratio),
        "forward in ms, the least of all samples": grid(
            cells, lambda cell: figure(cell.times.least * 1e3)
        ),
        "µs a token": grid(cells, lambda cell: figure(cell.seconds_per_token * 1e6)),
        "GFLOP/s, and their share of the best matrix product": grid(
            cells,
            lambda cell: f"{figure(cell.flops_per_second / 1e9)} ({report.share(cell):.1%})",
        ),
    }
    if any(cell.times.wall != cell.times.median for cell in cells):
        tables["ms by the clock, until the host knew"] = grid(
            cells, lambda cell: figure(cell.times.wall * 1e3)
        )
    return [
        f"{where.capitalize()}: {title}\n\n{markdown(table)}" for title, table in tables.items()
    ]


def kinds_table(breakdowns: Sequence[Breakdown]) -> list[list[str]]:
    """A row a forward under a row of headings: its time, and the share of each kind."""
    kinds = list(dict.fromkeys(kind for one in breakdowns for kind in one.shares))
    return [["forward", "ms", *kinds]] + [
        [
            f"{one.model}, {one.dtype}, {one.batch} x {one.length} tokens",
            figure(one.seconds * 1e3),
            *(f"{one.shares.get(kind, 0.0):.0%}" for kind in kinds),
        ]
        for one in breakdowns
    ]


def grid(cells: Sequence[Cell], value: Value) -> list[list[str]]:
    """A row a line, a column a length, under a row of headings."""
    lengths = list(dict.fromkeys(cell.length for cell in cells))
    lines = lines_of(cells)
    at = {(cell.line, cell.length): value(cell) for cell in cells}
    body = [[line.name, *(at.get((line, T), NOTHING) for T in lengths)] for line in lines]
    return [["model", *(f"{length} tokens" for length in lengths)], *body]


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """Rows of cells, the first row their headings, the first column words."""
    headings, *body = rows
    lines = [headings, ["---", *["---:"] * (len(headings) - 1)], *body]
    return "\n".join(f"| {' | '.join(line).replace('*', chr(92) + '*')} |" for line in lines)


def spread(cell: Cell) -> str:
    """Median and quartiles in milliseconds."""
    times = cell.times
    low, high = figure(times.first_quartile * 1e3), figure(times.third_quartile * 1e3)
    return f"{figure(times.median * 1e3)} ({low} to {high})"


def text_of(fitted: Fit) -> str:
    """A fit in milliseconds, without the terms that are 0, and its error."""
    terms = {"": fitted.a, "·T": fitted.b, "·T²": fitted.c}
    written = [f"{value * 1e3:.2g}{power}" for power, value in terms.items() if value > 0]
    return f"{' + '.join(written)} (± {fitted.error:.0%})"


def figure(value: float) -> str:
    """Three significant digits, three decimals at most; never as a power of ten."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}" if value >= 1 else f"{value:.3f}"

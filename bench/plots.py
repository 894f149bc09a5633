"""The gap's plots, in the style of ``training/plots.py``: equal figures make equal bytes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator, StrMethodFormatter

from bench.gap import Cell, Line
from bench.gap_figures import lines_of, ratios
from training.plots import COLOURS, INK, MARKERS, STYLE

METADATA: Mapping[str, Any] = {"png": {"Software": None}, "svg": {"Date": None, "Creator": None}}
DASHES = {"serial": "--", "parallel": "-", None: "-"}


def plot(cells: Sequence[Cell], baseline: str, out: Path) -> list[Path]:
    """Draws the forward's time and its ratio to ``baseline`` over the length.

    Returns:
        The files written into the folder ``out``, a PNG and an SVG of each, for every dtype and
        way to run that was measured.
    """
    paths = []
    with rc_context(STYLE):
        for dtype, how in dict.fromkeys((cell.line.dtype, cell.line.how) for cell in cells):
            some = [cell for cell in cells if (cell.line.dtype, cell.line.how) == (dtype, how)]
            for name, draw in {"forward": draw_forward, "ratio": draw_ratio}.items():
                figure = draw(some, baseline)
                for suffix, metadata in METADATA.items():
                    path = out / f"{name}-{dtype}-{how}.{suffix}"
                    figure.savefig(path, metadata=metadata)
                    paths.append(path)
    return paths


def draw_forward(cells: Sequence[Cell], baseline: str) -> Figure:
    """Median forward in milliseconds; the quartiles as a band."""

    def curve(axes: Axes, along: Sequence[Cell], style: Mapping[str, Any]) -> None:
        lengths = [cell.length for cell in along]
        axes.plot(lengths, [cell.times.median * 1e3 for cell in along], **style)
        low = [cell.times.first_quartile * 1e3 for cell in along]
        high = [cell.times.third_quartile * 1e3 for cell in along]
        axes.fill_between(lengths, low, high, color=style["color"], alpha=0.15, linewidth=0)

    return panels(cells, curve, "forward, ms")


def draw_ratio(cells: Sequence[Cell], baseline: str) -> Figure:
    """Median forward over the baseline's; a model below 1 is the faster one."""
    against = ratios(cells, baseline)

    def curve(axes: Axes, along: Sequence[Cell], style: Mapping[str, Any]) -> None:
        places = [(cell.line, cell.length, cell.batch) for cell in along]
        known = [place for place in places if place in against]
        axes.plot([place[1] for place in known], [against[place] for place in known], **style)

    return panels(cells, curve, f"forward, ratio to {baseline}")


def panels(
    cells: Sequence[Cell],
    curve: Callable[[Axes, Sequence[Cell], Mapping[str, Any]], None],
    label: str,
) -> Figure:
    """A panel a batch size, both axes by their logarithm, a curve a line."""
    batches = list(dict.fromkeys(cell.batch for cell in cells))
    lengths = list(dict.fromkeys(cell.length for cell in cells))
    lines = lines_of(cells)
    figure = Figure(figsize=(2.2 + 3.4 * len(batches), 4.6))
    for axes, batch in zip(
        figure.subplots(1, len(batches), squeeze=False)[0], batches, strict=True
    ):
        for line in lines:
            along = [cell for cell in cells if (cell.line, cell.batch) == (line, batch)]
            curve(axes, along, style_of(line, lines))
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        axes.xaxis.set_major_locator(FixedLocator(lengths))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:.0f}"))
        axes.set_xlabel("tokens")
        axes.set_title(f"batch {batch}", color=INK, fontsize=10)
    axes = figure.axes[0]
    axes.set_ylabel(label)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside right center")
    return figure


def style_of(line: Line, lines: Sequence[Line]) -> dict[str, Any]:
    """A colour and a marker an architecture; dashed where its steps run one by one."""
    architectures = list(dict.fromkeys(other.architecture for other in lines))
    index = architectures.index(line.architecture)
    return {
        "label": line.name,
        "color": COLOURS[index % len(COLOURS)],
        "marker": MARKERS[index % len(MARKERS)],
        "linestyle": DASHES[line.schedule],
    }

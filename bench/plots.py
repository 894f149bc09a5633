"""The benches' plots, in the style of ``training/plots.py``: equal figures make equal bytes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, LogLocator, NullLocator, StrMethodFormatter

from bench.comparison import Comparison
from bench.gap import Cell, Line
from bench.gap_figures import lines_of, ratios
from bench.serve_claims import BORROWED, Value, median, p99, per_second
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
                paths += save(draw(some, baseline), out / f"{name}-{dtype}-{how}")
    return paths


def plot_serve(comparisons: Sequence[Comparison], out: Path) -> list[Path]:
    """Draws requests a second, and p99, over the clients: of each model a panel a workload.

    Returns:
        The files written into the folder ``out``, a PNG and an SVG of each.
    """
    paths = []
    with rc_context(STYLE):
        for model, free in dict.fromkeys((one.model, one.free) for one in comparisons):
            some = [one for one in comparisons if (one.model, one.free) == (model, free)]
            name = f"{model}-free" if free else model
            rates = draw_clients(some, per_second, "requests a second", 1)
            paths += save(rates, out / f"throughput-{name}")
            paths += save(draw_clients(some, p99, "p99, ms", 1e3), out / f"p99-{name}")
    return paths


def save(figure: Figure, stem: Path) -> list[Path]:
    """Writes a figure as a PNG and an SVG."""
    paths = []
    for suffix, metadata in METADATA.items():
        paths.append(stem.with_name(f"{stem.name}.{suffix}"))
        figure.savefig(paths[-1], metadata=metadata)
    return paths


def draw_clients(
    comparisons: Sequence[Comparison], value: Value, label: str, scale: float
) -> Figure:
    """Medians of ``value`` times ``scale``, both axes by their logarithm, a curve a server."""
    names = list(dict.fromkeys(name for one in comparisons for name, _ in one.turns))
    figure = Figure(figsize=(2.2 + 3.4 * len(comparisons), 4.2))
    panels = figure.subplots(1, len(comparisons), squeeze=False)[0]
    for axes, one in zip(panels, comparisons, strict=True):
        ticks = sorted({clients for _, clients in one.turns})
        for at, name in enumerate(names):
            points = [(count, median(one, name, count, value)) for count in ticks]
            known = [(count, found * scale) for count, found in points if found is not None]
            style = {
                "color": COLOURS[at % len(COLOURS)],
                "marker": MARKERS[at % len(MARKERS)],
                "linestyle": "--" if name in BORROWED else "-",
            }
            axes.plot([x for x, _ in known], [y for _, y in known], label=name, **style)
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        _by_powers(axes, ticks, "clients")
        axes.set_title(one.workload.name, color=INK, fontsize=10)
    figure.axes[0].set_ylabel(label)
    handles = figure.axes[0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside right center")
    return figure


def _by_powers(axes: Axes, ticks: Sequence[int], label: str) -> None:
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:.0f}"))
    axes.set_xlabel(label)


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
        axes.set_yscale("log")
        _by_powers(axes, lengths, "tokens")
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

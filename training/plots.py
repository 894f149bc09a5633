"""The probe's three plots. With ``bench/plots.py`` the only file that imports matplotlib.

Nothing is painted behind them, and every colour keeps a contrast of 3 or more to white and to the
near black of a dark page, so that one file serves both. Equal figures make equal bytes.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator, PercentFormatter, StrMethodFormatter

from training.gradients import SENTENCE, SUBJECT, VERB
from training.probe import Probe

INK = "#767d87"
COLOURS = (
    "#d6453d",
    "#c96a10",
    "#2f7fd1",
    "#0e8aa8",
    "#2f8f3a",
    "#7a6be0",
    "#94800f",
    "#9a6b4f",
    "#c04fb0",
    "#64809f",
)
MARKERS = "osDv^PX<>ph*"
SMALLEST_NORM = 1e-8  # below it lies float32's noise
STYLE: Any = {  # matplotlib's type for it is a list of every setting there is
    "axes.axisbelow": True,
    "axes.edgecolor": INK,
    "axes.grid": True,
    "axes.labelcolor": INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "figure.constrained_layout.use": True,
    "font.size": 10,
    "grid.alpha": 0.25,
    "grid.color": INK,
    "legend.frameon": False,
    "legend.handlelength": 3,
    "lines.linewidth": 1.6,
    "lines.markersize": 5,
    "savefig.dpi": 160,
    "savefig.transparent": True,
    "svg.fonttype": "none",  # text stays text: small, and found by a search
    "svg.hashsalt": "lockstep",  # ids that don't change from run to run
    "text.color": INK,
    "xtick.labelsize": 9,
    "xtick.color": INK,
    "ytick.color": INK,
}


def plot(probes: Sequence[Probe], out: Path) -> list[Path]:
    """Draws each plot as PNG and as SVG into the folder ``out``; returns the paths."""
    paths = []
    with rc_context(STYLE):
        for name, draw in {
            "accuracy": draw_accuracy,
            "gradient": draw_gradient,
            "agreement": draw_agreement,
        }.items():
            figure = draw(probes)
            for suffix, metadata in {
                "png": {"Software": None},
                "svg": {"Date": None, "Creator": None},
            }.items():
                path = out / f"{name}.{suffix}"
                figure.savefig(path, metadata=metadata)
                paths.append(path)
    return paths


def draw_accuracy(probes: Sequence[Probe]) -> Figure:
    """Accuracy over k, the filler appended on the left and prepended on the right."""
    figure = Figure(figsize=(9.5, 4.2))
    left, right = figure.subplots(1, 2, sharey=True)
    for axes, side in ((left, "appended"), (right, "prepended")):
        for index, probe in enumerate(probes):
            forgetting = probe.forgetting
            values = getattr(forgetting, side)
            axes.plot(forgetting.counts, values, **line_style(probes, index))
        counts = probes[0].forgetting.counts
        axes.axhline(probes[0].forgetting.chance, color=INK, linestyle=":", label="chance")
        distance_axis(axes, counts, linear_up_to=max(counts[1], 1))
        axes.set_xlabel(f"tokens of filler {side}")
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    left.set_ylabel("accuracy")
    figure.legend(*left.get_legend_handles_labels(), loc="outside right center")
    return figure


def draw_gradient(probes: Sequence[Probe]) -> Figure:
    """Norm of the last hidden state's gradient over the distance from the end."""
    figure = Figure(figsize=(9.5, 4.2))
    axes = figure.subplots()
    for index, probe in enumerate(probes):
        distances, norms = thin(probe.influence.norms)
        # 0 has no place on a logarithmic axis: the line has a gap there.
        heights = [norm if norm > 0 else math.nan for norm in norms]
        axes.plot(distances, heights, **line_style(probes, index))
    longest = max(len(probe.influence.norms) for probe in probes)
    powers = [2**power for power in range(longest.bit_length())]
    axes.set_yscale("log")
    axes.set_ylim(bottom=max(axes.get_ylim()[0], SMALLEST_NORM))
    distance_axis(axes, [0, *powers], linear_up_to=1)
    axes.set_xlabel("tokens back from the end")
    axes.set_ylabel("gradient of the last hidden state\n(at the end itself: 1)")
    figure.legend(loc="outside right center")
    return figure


def thin(norms: Sequence[float]) -> tuple[list[float], list[float]]:
    """Distances and norms, two points an octave: each the median of the distances it stands for."""
    starts = [0, 1, 2, 3]
    while starts[-1] < len(norms):
        starts.append(2 * starts[-2])  # 4, 6, 8, 12, 16, …
    spans = [range(a, min(b, len(norms))) for a, b in itertools.pairwise(starts)]
    spans = [span for span in spans if span]
    return (
        [statistics.median(span) for span in spans],
        [statistics.median(norms[d] for d in span) for span in spans],
    )


def draw_agreement(probes: Sequence[Probe]) -> Figure:
    """Each word's share in the state at the verb: a row a model, a disc's area the share."""
    words = SENTENCE[:VERB]
    figure = Figure(figsize=(9.5, 1.1 + 0.42 * len(probes)))
    axes = figure.subplots()
    for row, probe in enumerate(probes):
        shares, colour = probe.agreement.shares, colour_of(probes, row)
        areas, steps = [600 * share for share in shares], probe.agreement.steps
        axes.scatter(range(len(words)), [row] * len(words), areas, color=colour, linewidths=0)
        axes.annotate(
            f"{probe.agreement.subject_share:.1%} from “{SENTENCE[SUBJECT]}”, "
            f"{steps} step{'s' * (steps != 1)}",
            (1.01, row),
            xycoords=axes.get_yaxis_transform(),
            verticalalignment="center",
        )
    axes.set_xticks(range(len(words)), words)
    axes.get_xticklabels()[SUBJECT].set_fontweight("bold")
    axes.set_yticks(range(len(probes)), [probe.model for probe in probes])
    axes.set_ylim(len(probes) - 0.4, -0.6)
    axes.tick_params(length=0)
    axes.set_xlabel(f"what the state at “{SENTENCE[VERB]}” depends on, of the words before it")
    return figure


def line_style(probes: Sequence[Probe], index: int) -> dict[str, Any]:
    """Dashed where the pooling isn't the architecture's own; the colour is the architecture's."""
    return {
        "label": probes[index].model,
        "color": colour_of(probes, index),
        "marker": MARKERS[index % len(MARKERS)],
        "linestyle": "--" if probes[index].variant else "-",
    }


def colour_of(probes: Sequence[Probe], index: int) -> str:
    """One an architecture, in the order of their first models."""
    architectures = list(dict.fromkeys(probe.architecture for probe in probes))
    return COLOURS[architectures.index(probes[index].architecture) % len(COLOURS)]


def distance_axis(axes: Axes, ticks: Sequence[int], linear_up_to: int) -> None:
    """From 0, doubling: straight up to ``linear_up_to``, then by its logarithm."""
    axes.set_xscale("symlog", base=2, linthresh=linear_up_to)
    axes.set_xlim(-0.15 * linear_up_to, ticks[-1] * 1.15)
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:.0f}"))

"""A picture of the gap from Prometheus's own data: forward time against length, a line a model.

    .venv/bin/python scripts/gap_picture.py --prometheus http://localhost:9090 --out docs/gap

Writes forward.png, forward.svg and gap.json into the folder: the picture, and what Prometheus said.
Every point is a mean over the window, a sum over a count of the same forwards; one of fewer than
``--least`` forwards is left out. A model with two schedules has a line for each.
"""

from __future__ import annotations

import argparse
import json
import sys
import urllib.parse
import urllib.request
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from service.observe.buckets import BATCH_EDGES, LENGTH_EDGES, bucket_names
from training.plots import COLOURS, MARKERS, STYLE

FORWARD = "lockstep_forward_duration_seconds"
LABELS = "model, schedule, length_bucket"
LENGTHS = bucket_names(LENGTH_EDGES)
ENDS = (*LENGTH_EDGES, 2 * LENGTH_EDGES[-1])  # where a range stands; the last has no end
TIMEOUT_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Point:
    """Mean ``seconds`` of so many ``forwards`` of one range of lengths."""

    length: str
    seconds: float
    forwards: int


@dataclass(frozen=True, slots=True)
class Line:
    """One model under one schedule, empty where it has but one; points by length."""

    model: str
    schedule: str
    points: tuple[Point, ...]


def selector(job: str, batch: str) -> str:
    return f'{{job="{job}", batch_bucket="{batch}"}}'


def query(part: str, job: str, batch: str, window: str) -> str:
    """What ``part`` of the forward's histogram, ``sum`` or ``count``, grew by."""
    return f"sum by ({LABELS}) (increase({FORWARD}_{part}{selector(job, batch)}[{window}]))"


def ask(prometheus: str, expression: str) -> list[dict[str, Any]]:
    """Samples of an instant query. Raises OSError: no Prometheus there, or it refused."""
    words = urllib.parse.urlencode({"query": expression})
    url = f"{prometheus.rstrip('/')}/api/v1/query?{words}"
    with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS) as answer:
        found: list[dict[str, Any]] = json.load(answer)["data"]["result"]
    return found


def read(
    seconds: Iterable[dict[str, Any]], forwards: Iterable[dict[str, Any]], least: int
) -> list[Line]:
    """Lines by name, out of the samples of both parts of the histogram."""
    counts = {_key(sample): float(sample["value"][1]) for sample in forwards}
    found: dict[tuple[str, str], list[Point]] = {}
    for sample in seconds:
        model, schedule, length = key = _key(sample)
        count = counts.get(key, 0.0)
        if round(count) >= max(least, 1):
            point = Point(length, float(sample["value"][1]) / count, round(count))
            found.setdefault((model, schedule), []).append(point)
    return [
        Line(*name, tuple(sorted(points, key=lambda point: LENGTHS.index(point.length))))
        for name, points in sorted(found.items())
    ]


def draw(lines: Sequence[Line], caption: str) -> Figure:
    """Both axes logarithmic, so that a ratio is the same distance everywhere."""
    figure = Figure(figsize=(9.5, 5))
    axes = figure.subplots()
    models = list(dict.fromkeys(line.model for line in lines))
    for line in lines:
        number = models.index(line.model)
        axes.plot(
            [ENDS[LENGTHS.index(point.length)] for point in line.points],
            [point.seconds * 1e3 for point in line.points],
            color=COLOURS[number % len(COLOURS)],
            marker=MARKERS[number % len(MARKERS)],
            linestyle="--" if line.schedule == "serial" else "-",
            label=", ".join(filter(None, (line.model, line.schedule))),
        )
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.xaxis.set_major_locator(FixedLocator(ENDS))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda end, _: LENGTHS[ENDS.index(round(end))]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda milliseconds, _: f"{milliseconds:g}"))
    axes.set_xlabel(f"tokens of the longest text in the batch\n{caption}")
    axes.set_ylabel("mean forward, ms")
    figure.legend(loc="outside right center")
    return figure


def save(figure: Figure, lines: Sequence[Line], caption: str, out: Path) -> None:
    """The three files; equal data make equal bytes."""
    out.mkdir(parents=True, exist_ok=True)
    figure.savefig(out / "forward.png", metadata={"Software": None})
    figure.savefig(out / "forward.svg", metadata={"Date": None, "Creator": None})
    content = {"caption": caption, "lines": [asdict(line) for line in lines]}
    (out / "gap.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def describe(info: Iterable[dict[str, Any]], batch: str) -> str:
    """How many texts a batch, on what, in which number formats; of ``lockstep_model_info``."""
    metrics = [sample["metric"] for sample in info]
    on = {name: sorted({metric[name] for metric in metrics}) for name in ("device", "dtype")}
    texts = "1 text" if batch == "1" else f"{batch} texts"
    return "; ".join([f"{texts} in the batch", *(" and ".join(on[name]) for name in on)])


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--prometheus", default="http://localhost:9090", help="its address")
    parser.add_argument("--out", type=Path, required=True, help="folder for the files")
    parser.add_argument("--job", default="lockstep", help="Prometheus's job")
    parser.add_argument("--batch", default="1", choices=bucket_names(BATCH_EDGES), help="its size")
    parser.add_argument("--window", default="1h", help="how far back, as Prometheus writes it")
    parser.add_argument("--least", type=int, default=20, help="fewest forwards behind a point")
    asked = parser.parse_args(arguments)
    seconds, forwards = (
        ask(asked.prometheus, query(part, asked.job, asked.batch, asked.window))
        for part in ("sum", "count")
    )
    lines = read(seconds, forwards, asked.least)
    if not lines:
        sys.exit(f"no range of lengths has {asked.least} forwards in {asked.window}: send traffic")
    info = ask(asked.prometheus, f'lockstep_model_info{{job="{asked.job}"}} == 1')
    caption = describe(info, asked.batch)
    with rc_context(STYLE):
        save(draw(lines, caption), lines, caption, asked.out)


def _key(sample: dict[str, Any]) -> tuple[str, str, str]:
    labels = sample["metric"]
    return labels["model"], labels.get("schedule", ""), labels["length_bucket"]


if __name__ == "__main__":
    main(sys.argv[1:])

"""Puts the figures that were measured into docs/performance.md.

    .venv/bin/python scripts/performance_figures.py [--check]

As scripts/why_figures.py does for docs/why.md. The tables are made of what ``lockstep bench serve``
wrote into docs/performance/serve (-amx, -gpu), and ``lockstep bench gap`` into docs/gap/cpu and
docs/gap/gpu.
"""

from __future__ import annotations

import json
import statistics
import sys
from pathlib import Path
from typing import Any

from bench.breakdown import Breakdown
from bench.gap_figures import Fit
from bench.gap_file import Along, card, cells_by_line, read_gap
from bench.gap_report import NOTHING, figure, kinds_table, text_of
from bench.marked import Rows, Tables, refresh
from bench.serve_claims import OURS, Beside
from bench.serve_report import beside_table

DOCS = Path(__file__).resolve().parent.parent / "docs"
PAGES = (DOCS / "performance.md",)
LENGTHS = (16, 64, 256, 512, 1024)
GPU = card(read_gap(DOCS, "gpu"))
PLACES = {  # of forwards: which file, how run, texts
    "two CPU cores, 1 text": ("cpu", "eager", 1),
    "8 texts": ("cpu", "eager", 8),
    f"{GPU}, graphs, 1 text": ("gpu", "captured", 1),
    "32 texts": ("gpu", "captured", 32),
}
PEAK_MODEL, PEAK_LENGTH, PEAK_AIM = "transformer", 512, 0.5
PEAK_PLACES = {
    "two CPU cores": ("cpu", "eager", (1, 8)),
    f"{GPU}, kernel by kernel": ("gpu", "eager", (1, 8, 32)),
    f"{GPU}, as a graph": ("gpu", "captured", (1, 8, 32)),
}


def serve(folder: str = "serve") -> dict[str, Any]:
    """What ``lockstep bench serve`` measured."""
    path = DOCS / "performance" / folder / "serve.json"
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def gap(kind: str) -> dict[str, Any]:
    """What ``lockstep bench gap`` measured, on a ``cpu`` or a ``gpu``."""
    return read_gap(DOCS, kind)


def commands(*measured: dict[str, Any]) -> str:
    """Those that made the files, as they were typed."""
    return "\n".join(["```sh", *(one["command"] for one in measured), "```"])


def claims(folder: str = "serve") -> Rows:
    """What was aimed at, and what was measured."""
    return [["", "aim", "measured", "met"]] + [
        [one["what"], one["aim"], figure(one["measured"]), "yes" if one["met"] else "no"]
        for one in serve(folder)["claims"]
    ]


def beside() -> Rows:
    """The service over the baselines that run its forward."""
    return beside_table([Beside(**one) for one in serve()["with_its_forward"]])


def serve_gpu() -> Rows:
    """The service on a GPU beside the others there; ratios as ``serve_claims`` takes them."""
    rows = [["", "clients", "beside", "requests/s over its", "p50, ms", "its p50, ms"]]
    for one in serve("serve-gpu")["comparisons"]:
        rounds = {(turns["server"], turns["clients"]): turns["rounds"] for turns in one["turns"]}
        for (server, clients), theirs in rounds.items():
            if server == OURS:
                continue
            ours = rounds[OURS, clients]
            pairs = zip(ours, theirs, strict=True)
            ratio = statistics.median(a["per_second"] / b["per_second"] for a, b in pairs)
            p50s = [
                figure(1e3 * statistics.median(turn["latency"]["p50"] for turn in turns))
                for turns in (ours, theirs)
            ]
            title = f"{one['model']}, {one['workload']['name']}"
            rows.append([title, str(clients), server, f"{ratio:.2f}", *p50s])
    return rows


def growth() -> Rows:
    """Requests a second and p99 of the service alone, by number of clients."""
    shown: list[tuple[str, dict[int, tuple[float, float]]]] = []
    for one in serve()["comparisons"]:
        if one["free_forward"] or one["workload"]["texts"] > 1:
            continue
        at = {
            turns["clients"]: (
                statistics.median(turn["per_second"] for turn in turns["rounds"]),
                statistics.median(turn["latency"]["p99"] for turn in turns["rounds"]),
            )
            for turns in one["turns"]
            if turns["server"] == OURS
        }
        shown.append((f"{one['model']}, {one['workload']['name']}", at))
    rows = [
        ["clients", *(cell for name, _ in shown for cell in (f"{name}: requests/s", "p99, ms"))]
    ]
    for clients in sorted({clients for _, at in shown for clients in at}):
        cells = []
        for _, at in shown:
            rate, p99 = at.get(clients, (None, None))
            cells.append(NOTHING if rate is None else figure(rate))
            cells.append(NOTHING if p99 is None else figure(p99 * 1e3))
        rows.append([str(clients), *cells])
    return rows


def cells(kind: str, how: str, batch: int) -> dict[str, Along]:
    """What was measured in bfloat16, by model (and schedule) and length."""
    return {_name(*line): along for line, along in cells_by_line(gap(kind), how, batch).items()}


def _name(model: str, schedule: str | None) -> str:
    return f"`{model}`" + (f", {schedule}" if schedule else "")


def forwards(kind: str, how: str, batch: int) -> Rows:
    """Milliseconds, and in brackets the ratio to the baseline at that length."""
    measured = cells(kind, how, batch)
    lengths = [T for T in LENGTHS if any(T in along for along in measured.values())]
    rows = [["model", *(f"{length:,} tokens" for length in lengths)]]
    for name, along in measured.items():
        rows.append([name, *(_told(along.get(length)) for length in lengths)])
    return rows


def _told(cell: dict[str, Any] | None) -> str:
    if cell is None:
        return NOTHING
    milliseconds = f"{cell['forward_seconds'] * 1e3:.3g}"
    return f"{milliseconds} ({cell['ratio']:.1f})" if cell["ratio"] else milliseconds


def fits() -> Rows:
    """Milliseconds of a forward over its length T, with the error of each fit."""
    found: dict[str, dict[str, str]] = {}
    for place, (kind, how, batch) in PLACES.items():
        for one in gap(kind)["fits"]:
            if (one["how"], one["batch"], one["dtype"]) == (how, batch, "bfloat16"):
                fit = Fit(*(one[name] for name in ("a", "b", "c", "error", "worst")))
                found.setdefault(_name(one["model"], one["schedule"]), {})[place] = text_of(fit)
    body = [[name, *(at.get(place, NOTHING) for place in PLACES)] for name, at in found.items()]
    return [["model", *PLACES], *body]


def peak() -> Rows:
    """Of the best matrix product, how much each forward reached."""
    rows = [["", "texts", "ms", "share of the best product", f"at least {PEAK_AIM:.0%}"]]
    for place, (kind, how, batches) in PEAK_PLACES.items():
        for batch in batches:
            cell = cells(kind, how, batch)[f"`{PEAK_MODEL}`"][PEAK_LENGTH]
            share = cell["share_of_peak"]
            met = "yes" if share >= PEAK_AIM else "no"
            rows.append(
                [place, str(batch), figure(cell["forward_seconds"] * 1e3), f"{share:.1%}", met]
            )
    return rows


def breakdowns() -> Rows:
    """What takes the rest, wherever it was profiled."""
    found = [
        (place, Breakdown(**one))
        for place, kind in (("two CPU cores", "cpu"), (GPU, "gpu"))
        for one in gap(kind)["breakdowns"]
    ]
    headings, *body = kinds_table([one for _, one in found])
    places = (place for place, _ in found)
    return [["on", *headings], *([place, *row] for place, row in zip(places, body, strict=True))]


TABLES: Tables = {
    "serve_command": lambda: commands(serve()),
    "serve_gpu_command": lambda: commands(serve("serve-gpu")),
    "gap_commands": lambda: commands(gap("cpu"), gap("gpu")),
    "claims": claims,
    "claims_amx": lambda: claims("serve-amx"),
    "with_its_forward": beside,
    "growth": growth,
    "serve_gpu": serve_gpu,
    "gpu_graphs": lambda: forwards("gpu", "captured", 1),
    "gpu_kernels": lambda: forwards("gpu", "eager", 1),
    "gpu_graphs_32": lambda: forwards("gpu", "captured", 32),
    "cpu_1": lambda: forwards("cpu", "eager", 1),
    "cpu_8": lambda: forwards("cpu", "eager", 8),
    "fits": fits,
    "peak": peak,
    "breakdowns": breakdowns,
}


def main(words: list[str] | None = None) -> int:
    return refresh(PAGES, TABLES, words)


if __name__ == "__main__":
    sys.exit(main())

"""The tables of docs/scaling.md: what a replica does, and how many a load takes.

    .venv/bin/python scripts/scaling.py

writes them anew. Every rate comes out of a file under docs that a bench wrote; what `lockstep bench
serve` writes is left out until it is there.
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.gap_file import card, read_gap

DOCS = Path(__file__).resolve().parent.parent / "docs"
BEGIN, END = "<!-- by scripts/scaling.py -->", "<!-- end -->"
LOADS = (10, 1_000, 100_000)  # requests a second, one text each
SHARE = 0.6  # of what one can do, that it is given: a queue grows without end near all of it
SPARE = 1  # that may be lost, or be starting, at any time
OURS = "Lockstep"  # as bench/contenders.py has it
MODELS = ("lstm", "transformer", "minilm")
GPU_BATCH, GPU_LENGTHS = 32, (64, 512)


@dataclass(frozen=True, slots=True)
class Capacity:
    """What one of something can do.

    Attributes:
        what: is asked.
        unit: what there is one of: a core, a GPU, a machine.
        rate: requests a second, one text each.
        basis: measured, or projected from what was.
        source: the file that has it, from docs/.
    """

    what: str
    unit: str
    rate: float
    basis: str
    source: str

    def needed(self, load: float) -> int:
        """How many of them serve so many requests a second."""
        return math.ceil(load / (self.rate * SHARE)) + SPARE


def capacities(docs: Path = DOCS) -> list[Capacity]:
    """Everything that the files under ``docs`` tell."""
    return [*_served(docs), *_replayed(docs), *_on_gpu(docs)]


def _served(docs: Path) -> Iterator[Capacity]:
    """The whole service, its clients on the same machine, by `lockstep bench serve`."""
    for path in sorted(docs.rglob("serve.json")):
        found = json.loads(path.read_text(encoding="utf-8"))
        for one in found["comparisons"]:
            workload = one["workload"]
            if workload["texts"] != 1:
                continue
            rates = [
                statistics.median(turn["requests"] / turn["seconds"] for turn in turns["rounds"])
                for turns in one["turns"]
                if turns["server"] == OURS
            ]
            what = "no forward" if one["free_forward"] else f"`{one['model']}`"
            hardware = found["hardware"]
            machine = f"machine of {hardware['cores']} cores"
            if "cuda" in hardware:
                machine += f", {hardware['device']}"
            else:
                processor = hardware["processor"].replace("(R)", "")
                machine += f", {processor.removesuffix(' Processor')}"
            yield Capacity(
                f"{what}, {workload['name']} texts, whole service",
                machine,
                max(rates),
                "measured",
                str(path.relative_to(docs)),
            )


def _replayed(docs: Path) -> Iterator[Capacity]:
    """Forwards timed on one core, and traffic of mixed lengths replayed through the batcher."""
    source = "performance/batching.json"
    found = json.loads((docs / source).read_text(encoding="utf-8"))
    for one in _in_order(found["models"]):
        (rate,) = [
            result["texts_per_second"]
            for result in one["results"]
            if result["policy"] == "lockstep"
        ]
        what = f"`{one['model']}`, mixed texts, forwards"
        yield Capacity(what, "core", rate, "projected", source)


def _on_gpu(docs: Path) -> Iterator[Capacity]:
    """Forwards alone, as CUDA graphs."""
    source = "gap/gpu/gap.json"
    found = read_gap(docs, "gpu")
    for length in GPU_LENGTHS:
        wanted = {"batch": GPU_BATCH, "length": length, "how": "captured", "dtype": "bfloat16"}
        for one in _in_order(found["cells"]):
            if wanted.items() <= one.items():
                what = f"`{one['model']}`, {length} tokens, forwards"
                rate = GPU_BATCH / one["forward_seconds"]
                yield Capacity(what, card(found), rate, "projected", source)


def _in_order(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(
        (one for one in rows if one["model"] in MODELS), key=lambda one: MODELS.index(one["model"])
    )


def figure(value: float) -> str:
    """Three digits are all that is known."""
    digits = max(0, 2 - math.floor(math.log10(value)))
    return f"{value:,.{digits}f}" if value < 1000 else f"{float(f'{value:.3g}'):,.0f}"


def tables(found: list[Capacity]) -> str:
    """Rates with their sources, then how many each load takes, as Markdown."""
    lines = ["| what is asked | one | requests/s | | from |", "|---|---|---|---|---|"]
    for one in found:
        cells = (one.what, one.unit, figure(one.rate), one.basis, f"[{one.source}]({one.source})")
        lines.append(f"| {' | '.join(cells)} |")
    heads = " | ".join(f"{load:,}/s" for load in LOADS)
    lines += ["", f"| what is asked | of | {heads} |", "|---|---|" + "---|" * len(LOADS)]
    for one in found:
        counts = " | ".join(f"{one.needed(load):,}" for load in LOADS)
        lines.append(f"| {one.what} | {one.unit} | {counts} |")
    return "\n".join(lines)


def main() -> None:
    """Puts the tables between their marks."""
    page = DOCS / "scaling.md"
    before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    page.write_text(f"{before}{BEGIN}\n{tables(capacities())}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()

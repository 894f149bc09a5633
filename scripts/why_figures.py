"""Puts the figures that were measured into docs/why.md and docs/why.zh.md.

    .venv/bin/python scripts/why_figures.py [--check]

Each table stands between two marks that name it, and is made of the JSON of a bench or of the cards
of the models: the words around it are a person's, the figures never. With ``--check`` nothing is
written, and the exit status says whether something would be.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from bench.gap_file import Along, cells_by_line, read_gap
from bench.marked import Rows, Tables, refresh

ROOT = Path(__file__).resolve().parent.parent
PAGES = ("why.md", "why.zh.md")
BASELINE = "transformer"
LENGTHS = (16, 64, 256, 512)
MODELS = ("lstm", "gru", "mingru (serial)", "mingru (parallel)", "cnn", "transformer")


def cells(kind: str, how: str, batch: int) -> dict[str, Along]:
    """What was measured in bfloat16, by model and length."""
    found = cells_by_line(read_gap(ROOT / "docs", kind), how, batch)
    return {
        model + (f" ({schedule})" if schedule else ""): along
        for (model, schedule), along in found.items()
    }


def steps() -> Rows:
    """Steps that wait for one another, and how far apart two words are."""
    rows = [["", *map(str, LENGTHS)]]
    measured = cells("cpu", "eager", 1)
    return rows + [
        [f"`{model}`", *(f"{measured[model][n]['sequential_depth']:,}" for n in LENGTHS)]
        for model in MODELS
    ]


def forwards(kind: str, how: str, batch: int = 1) -> Rows:
    """ms, and in brackets the ratio to the baseline at that length."""
    measured = cells(kind, how, batch)
    base = measured[BASELINE]
    rows = [["", *map(str, LENGTHS)]]
    for model in MODELS:
        line = [f"`{model}`"]
        for length in LENGTHS:
            seconds = measured[model][length]["forward_seconds"]
            line.append(f"{seconds * 1e3:.3g} ({seconds / base[length]['forward_seconds']:.1f})")
        rows.append(line)
    return rows


def shares() -> Rows:
    """Of the best matrix product on that GPU, at 512 tokens."""
    rows = [["", "1", "32"]]
    one, many = (cells("gpu", "captured", batch) for batch in (1, 32))
    return rows + [
        [f"`{model}`", *(f"{found[model][512]['share_of_peak']:.2%}" for found in (one, many))]
        for model in MODELS
    ]


def training() -> Rows:
    """Tokens a second of a training step, of every model whose card has it."""
    rows = [["", "bfloat16", "float32"]]
    for card in sorted((ROOT / "weights").glob("*/card.json")):
        speed = json.loads(card.read_text(encoding="utf-8")).get("training_speed", {}).get("cpu")
        if speed:
            found = speed["tokens_per_second"]
            rows.append(
                [f"`{card.parent.name}`", f"{found['bfloat16']:,}", f"{found['float32']:,}"]
            )
    return rows


TABLES: Tables = {
    "steps": steps,
    "gpu": lambda: forwards("gpu", "captured"),
    "gpu32": lambda: forwards("gpu", "captured", 32),
    "cpu": lambda: forwards("cpu", "eager"),
    "shares": shares,
    "training": training,
}


def main(words: list[str] | None = None) -> int:
    return refresh([ROOT / "docs" / page for page in PAGES], TABLES, words)


if __name__ == "__main__":
    sys.exit(main())

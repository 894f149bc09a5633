"""lockstep probe: how far back models remember; tables, plots, and each model's memory_horizon."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from bench.tables import table
from cli.common import add_json_option, add_weights_option, training_installed

if TYPE_CHECKING:
    from training.data import Row
    from training.gradients import Influence
    from training.probe import Forgetting, Probe

EXAMPLE = "lockstep probe lstm transformer --data sst2/dev.tsv"
MASK = "[MASK]"  # the default filler: judged alone, no words leave the models as undecided
DISTANCES = (1, 2, 4, 8, 16, 32, 64, 128, 255)  # of the gradient's table

Table = tuple[str, list[list[str]]]  # a title, and rows of cells under a row of headings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("models", nargs="+", metavar="MODEL", help="names of models")
    parser.add_argument(
        "--data",
        required=True,
        metavar="SOURCE",
        help=".tsv, .csv or .jsonl (also .gz), or owner/name:split of the hub",
    )
    parser.add_argument(
        "--rows", type=int, default=200, help="texts of it, chosen by a hash of each (200)"
    )
    parser.add_argument(
        "--filler", metavar="TEXT", help=f"what to append and prepend ({MASK}, the masking token)"
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("docs/memory"),
        help="folder of the tables and plots (docs/memory)",
    )
    parser.add_argument(
        "--no-write", action="store_true", help="leave the models' cards as they are"
    )
    add_json_option(parser)
    add_weights_option(parser)


def run(arguments: argparse.Namespace) -> int:
    from models import folder as folders
    from models.tokenizer import Tokenizer
    from training.data import label_index, read
    from training.probe import draw

    plot = _plotter()
    data = read(arguments.data)
    rows = draw(data.rows, arguments.rows)
    chosen = folders.discover(arguments.weights, arguments.models)
    for folder in chosen.values():
        for row in rows:
            label_index(row.label, folder.labels)
    tokenizer = Tokenizer.load(arguments.weights / folders.WORDPIECE)
    filler, filler_ids = MASK, [tokenizer.mask_id]
    if arguments.filler is not None:
        filler, filler_ids = arguments.filler, tokenizer.encode([arguments.filler])[0].ids[1:-1]
    arguments.out.mkdir(parents=True, exist_ok=True)  # a mistake is found before an hour's work

    probes = []
    for name, folder in chosen.items():
        probe = _measure(arguments.weights, name, rows, filler_ids)
        probes.append(probe)
        if not arguments.no_write:
            memory = {"data": data.name, "filler": filler, **probe.forgetting.to_dict()}
            card = folder.card | {
                "memory_horizon": probe.forgetting.horizon,
                "memory": memory | {"command": arguments.command},
            }
            folders.write(replace(folder, card=card))

    tables = all_tables(probes, data.name, filler)
    measured = {"command": arguments.command, "models": [probe.to_dict() for probe in probes]}
    shown = "\n\n".join(f"{title}\n\n{table(cells)}" for title, cells in tables)
    print(json.dumps(measured, ensure_ascii=False) if arguments.json else shown)
    _write(arguments.out / "tables.md", markdown(tables, arguments.command))
    _write(arguments.out / "probe.json", json.dumps(measured, ensure_ascii=False) + "\n")
    for path in plot(probes, arguments.out):
        _say(f"wrote {path}")
    return 0


def _plotter() -> Callable[[Sequence[Probe], Path], list[Path]]:
    with training_installed():
        from training.plots import plot
    return plot


def _measure(weights: Path, name: str, rows: Sequence[Row], filler: Sequence[int]) -> Probe:
    from models.checkpoint import load_predictor
    from training.gradients import measure_agreement, measure_influence
    from training.probe import Probe, measure_forgetting

    folder, predictor = load_predictor(weights, name)
    _say(f"{name}: gradients")
    agreement = measure_agreement(predictor)
    influence = measure_influence(predictor, rows)
    _say(f"{name}: accuracy amid filler")
    forgetting = measure_forgetting(predictor, rows, filler)
    config = predictor.classifier.config
    return Probe(
        model=name,
        architecture=folder.architecture,
        pooling=config.pooling,
        variant=config.pooling != type(config)().pooling,
        forgetting=forgetting,
        influence=influence,
        agreement=agreement,
    )


def all_tables(probes: Sequence[Probe], data: str, filler: str) -> list[Table]:
    """What was measured, a row a model."""
    forgetting = probes[0].forgetting
    influence = max((probe.influence for probe in probes), key=lambda one: len(one.norms))
    counts = [f"{k:,}" for k in forgetting.counts]
    longest = len(influence.norms)
    distances = [d for d in DISTANCES if d < longest]
    texts = f"{forgetting.rows} texts of {data}, chance {forgetting.chance:.1%}"

    def rows(headings: Sequence[str], cells: Callable[[Probe], list[str]]) -> list[list[str]]:
        body = ([probe.model, probe.pooling, *cells(probe)] for probe in probes)
        return [["model", "pooling", *headings], *body]

    return [
        (
            f"Accuracy with k tokens of filler, {filler}, appended ({texts})",
            rows(
                [*counts, "memory horizon"],
                lambda p: [*_percents(p.forgetting.appended), _horizon(p.forgetting)],
            ),
        ),
        (
            f"Accuracy with k tokens of filler, {filler}, prepended ({texts})",
            rows(counts, lambda p: _percents(p.forgetting.prepended)),
        ),
        (
            f"Verdict on k tokens of filler, {filler}, alone",
            rows(
                counts[1:],
                lambda p: [f"{v.label} {v.score:.2f}" for v in p.forgetting.filler_alone],
            ),
        ),
        (
            "Gradient of the last hidden state, d tokens back, relative to d = 0 "
            f"(mean of {influence.texts} times {longest} tokens)",
            rows(
                [*map(str, distances), "half within"],
                lambda p: [*_norms(p.influence, distances), str(p.influence.half_within)],
            ),
        ),
        (
            "Share of each earlier word in the gradient of the state at the verb",
            rows(
                [*probes[0].agreement.words, "steps from the subject"],
                lambda p: [*_percents(p.agreement.shares), str(p.agreement.steps)],
            ),
        ),
    ]


def markdown(tables: Sequence[Table], command: str) -> str:
    """The tables as a page that says how it was made."""
    parts = [f"# How far back each model remembers\n\nMade by\n\n```sh\n{command}\n```\n"]
    for title, (headings, *rows) in tables:
        lines = [headings, ["---"] * 2 + ["---:"] * (len(headings) - 2), *rows]
        cells = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        parts.append(f"{title}\n\n{cells}\n")
    return "\n".join(parts)


def _percents(shares: Sequence[float]) -> list[str]:
    return [f"{share:.1%}" for share in shares]


def _horizon(forgetting: Forgetting) -> str:
    horizon = forgetting.horizon
    return f"> {forgetting.counts[-1]:,}" if horizon is None else f"{horizon:,}"


def _norms(influence: Influence, distances: Sequence[int]) -> list[str]:
    norms = influence.norms
    return [f"{norms[d]:.2g}" if d < len(norms) else "-" for d in distances]


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def _say(what: str) -> None:
    print(what, file=sys.stderr, flush=True)

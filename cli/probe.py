"""lockstep probe: how far back models remember; tables, plots, and each model's memory_horizon."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench.tables import table
from cli.common import add_json_option, add_to_card, add_weights_option, training_installed

if TYPE_CHECKING:
    from models.folder import ModelFolder
    from training.data import Row
    from training.probe import Probe

EXAMPLE = "lockstep probe lstm transformer --data sst2/dev.tsv"
MASK = "[MASK]"  # the default filler: judged alone, no words leave the models as undecided


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "models", nargs="+", metavar="MODEL", help="models of --weights, or folders elsewhere"
    )
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
    parser.add_argument(
        "--restart", action="store_true", help="measure anew what --out has of the same weights"
    )
    add_json_option(parser)
    add_weights_option(parser)


def run(arguments: argparse.Namespace) -> int:
    from cli.probe_tables import all_tables, markdown
    from models.folder import ModelFolder
    from training.data import label_index, read
    from training.probe import Probe, draw
    from training.probed import conditions, figures, keep, kept, typed_before

    plot = _plotter()
    data = read(arguments.data)
    rows = draw(data.rows, arguments.rows)
    filler = MASK if arguments.filler is None else arguments.filler
    under, path = conditions(data.name, rows, filler), arguments.out / "probe.json"
    known = {} if arguments.restart else kept(path, under)
    before = [] if arguments.restart else typed_before(path)
    chosen = _find(arguments.weights, arguments.models, known, before)
    present = {name: one for name, one in chosen.items() if isinstance(one, ModelFolder)}
    for model in present.values():
        for row in rows:
            label_index(row.label, model.labels)
    fillers = _fillers(present, arguments.filler)
    arguments.out.mkdir(parents=True, exist_ok=True)  # a mistake is found before an hour's work

    probes: dict[str, Probe] = {}
    for name, folder in chosen.items():
        if isinstance(folder, Probe):
            _say(f"{name}: its folder is gone; as it was measured before")
            probes[name] = folder
            continue
        key = (name, folder.sha256["weights"])
        probes[name] = known[key] = known.get(key) or _measure(folder, rows, fillers[name])
        # With all that was known, so that a run that is stopped loses nothing.
        keep(path, figures(arguments.command, under, list(known.values())))
        if not arguments.no_write:
            forgetting = probes[name].forgetting
            memory = {"data": data.name, "filler": filler, **forgetting.to_dict()}
            memory |= {"command": arguments.command}
            add_to_card(folder, memory_horizon=forgetting.horizon, memory=memory)

    measured = list(probes.values())
    told = figures(arguments.command, under, measured)
    keep(path, told)
    tables = all_tables(measured, data.name, filler)
    shown = "\n\n".join(f"{title}\n\n{table(cells)}" for title, cells in tables)
    print(json.dumps(told, ensure_ascii=False) if arguments.json else shown)
    page = markdown(tables, arguments.command)
    (arguments.out / "tables.md").write_text(page, encoding="utf-8")
    for plotted in plot(measured, arguments.out):
        _say(f"wrote {plotted}")
    return 0


def _plotter() -> Callable[[Sequence[Probe], Path], list[Path]]:
    with training_installed():
        from training.plots import plot
    return plot


def _find(
    weights: Path, names: Sequence[str], known: dict[tuple[str, str], Probe], before: Sequence[str]
) -> dict[str, ModelFolder | Probe]:
    """The models by their names, which their lines in the plots bear.

    Of a model whose folder is gone, what was measured while it was there, if it is named as it was
    ``before``.
    """
    from models import folder as folders
    from training.teachers import locate

    found: dict[str, ModelFolder | Probe] = {}
    places: dict[str, Path] = {}
    for typed in names:
        place, name = locate(weights, typed)
        other = places.setdefault(name, place / name)
        if other.resolve() != (place / name).resolve():
            raise ValueError(f"two models are named {name}: {other} and {place / name}")
        kept = [probe for (model, _), probe in known.items() if model == name]
        if typed in before and not (place / name).exists() and len(kept) == 1:
            found[name] = kept[0]
        else:
            found[name] = folders.discover(place, [name])[name]
    return found


def _fillers(chosen: dict[str, ModelFolder], text: str | None) -> dict[str, list[int]]:
    """The filler in the tokens of each model."""
    from models import folder as folders
    from models.tokenizer import Tokenizer

    ids = {}
    for place in {folder.path.parent for folder in chosen.values()}:
        tokenizer = Tokenizer.load(place / folders.WORDPIECE)
        mask = [tokenizer.mask_id]
        ids[place] = mask if text is None else tokenizer.encode([text])[0].ids[1:-1]
    return {name: ids[folder.path.parent] for name, folder in chosen.items()}


def _measure(folder: ModelFolder, rows: Sequence[Row], filler: Sequence[int]) -> Probe:
    from models.checkpoint import load_predictor
    from training.gradients import measure_agreement, measure_influence
    from training.probe import Probe, measure_forgetting

    _, predictor = load_predictor(folder.path.parent, folder.name)
    _say(f"{folder.name}: gradients")
    agreement = measure_agreement(predictor)
    influence = measure_influence(predictor, rows)
    _say(f"{folder.name}: accuracy amid filler")
    forgetting = measure_forgetting(predictor, rows, filler)
    config = predictor.classifier.config
    probe = Probe(
        model=folder.name,
        sha256=folder.sha256["weights"],
        architecture=folder.architecture,
        pooling=config.pooling,
        variant=config.pooling != type(config)().pooling,
        forgetting=forgetting,
        influence=influence,
        agreement=agreement,
    )
    return Probe.from_dict(probe.to_dict())  # as it is kept, so that both make the same plots


def _say(what: str) -> None:
    print(what, file=sys.stderr, flush=True)

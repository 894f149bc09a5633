"""lockstep bench training: how fast each model trains, all on the same batch, into the cards."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from cli.common import add_weights_option, names, usable_device

if TYPE_CHECKING:
    from bench.training import Shape, Speed

EXAMPLE = "lockstep bench training --models lstm,transformer"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--models", type=names, metavar="NAME,…", help="names of models (all there are)"
    )
    parser.add_argument("--rows", type=int, default=16, help="texts of the batch (16)")
    parser.add_argument("--length", type=int, default=128, help="tokens of each (128)")
    parser.add_argument(
        "--dtype",
        choices=("float32", "bfloat16", "both"),
        default="both",
        help="number format of a step (both)",
    )
    parser.add_argument(
        "--device", default="auto", help="auto, cpu, cuda or cuda:N; auto takes a GPU if any"
    )
    parser.add_argument("--seconds", type=float, default=4.0, help="for each cell (4)")
    parser.add_argument("--write", action="store_true", help="put the figures into the cards")
    add_weights_option(parser)


def run(arguments: argparse.Namespace) -> int:
    from bench.training import Shape, measure_training
    from models import folder as folders
    from models.checkpoint import load, load_embedding
    from models.device import describe

    if min(arguments.rows, arguments.length) < 1 or arguments.seconds <= 0:
        raise ValueError("--rows, --length and --seconds must be above zero")
    found = folders.discover(arguments.weights, arguments.models)
    device = usable_device(arguments.device)
    embedding = load_embedding(arguments.weights / folders.WORDPIECE).to(device)
    dtypes = ["float32", "bfloat16"] if arguments.dtype == "both" else [arguments.dtype]
    shape = Shape(arguments.rows, arguments.length)
    classifiers = {name: load(folder, embedding).to(device) for name, folder in found.items()}
    speeds = measure_training(classifiers, shape, dtypes, arguments.seconds, device)
    hardware = describe(device)
    facts = {
        name: _facts([s for s in speeds if s.model == name], hardware, arguments.command)
        for name in found
    }
    print(json.dumps(facts) if arguments.json else _table(facts, shape, hardware))
    if arguments.write:
        for name, folder in found.items():
            # A GPU's figures stand beside a CPU's: the gap differs in kind.
            speed = folder.card.get("training_speed", {}) | {device.type: facts[name]}
            folders.write(replace(folder, card=folder.card | {"training_speed": speed}))
    return 0


def _facts(speeds: Sequence[Speed], hardware: str, command: str) -> dict[str, Any]:
    return {
        "tokens_per_second": {s.dtype: round(s.tokens_per_second) for s in speeds},
        "batch": [speeds[0].shape.rows, speeds[0].shape.length],
        "hardware": hardware,
        "command": command,
    }


def _table(facts: dict[str, dict[str, Any]], shape: Shape, hardware: str) -> str:
    lines = [
        f"tokens a second in training, batches of {shape.rows} texts of {shape.length}: {hardware}"
    ]
    for name, fact in facts.items():
        speeds = "".join(f"{d} {n:>9,}   " for d, n in fact["tokens_per_second"].items())
        lines.append(f"  {name:<16}{speeds}")
    return "\n".join(lines)

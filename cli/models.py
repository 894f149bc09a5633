"""lockstep models: the cards of a folder of models, as a table."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING

from bench.tables import table
from cli.common import add_json_option, add_weights_option

if TYPE_CHECKING:
    from models.folder import ModelFolder

EXAMPLE = "lockstep models --json"
UNKNOWN = "-"  # a card made by hand may lack anything


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_json_option(parser)
    add_weights_option(parser)


def run(arguments: argparse.Namespace) -> int:
    from models.folder import discover

    folders = list(discover(arguments.weights).values())
    if arguments.json:
        found = [
            {"name": folder.name, "architecture": folder.architecture, "window": folder.window}
            | folder.card
            for folder in folders
        ]
        print(json.dumps(found, ensure_ascii=False))
        return 0
    sets = sorted({name for folder in folders for name in folder.card.get("accuracy", {})})
    print(table([_header(sets), *(_row(folder, sets) for folder in folders)]))
    return 0


def _header(sets: list[str]) -> list[str]:
    fixed = ["model", "architecture", "encoder parameters", "window", "steps at 128 tokens"]
    return [*fixed, *sets, "temperature"]


def _row(folder: ModelFolder, sets: list[str]) -> list[str]:
    cost = folder.card.get("cost", {})
    parameters = cost.get("parameters", {}).get("encoder")
    accuracy = folder.card.get("accuracy", {})
    return [
        folder.name,
        folder.architecture,
        UNKNOWN if parameters is None else f"{parameters:,}",
        "any" if folder.window is None else str(folder.window),
        str(cost.get("sequential_depth", UNKNOWN)),
        *(f"{accuracy[name]['accuracy']:.2%}" if name in accuracy else UNKNOWN for name in sets),
        f"{folder.temperature:.2f}",
    ]

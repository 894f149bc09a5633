"""lockstep average: several trainings of one model to a single one."""

from __future__ import annotations

import argparse
import json

from cli.common import add_json_option, add_weights_option, training_installed
from cli.train import model_name

EXAMPLE = "lockstep average .work/teachers/a .work/teachers/b --name mine --data reviews.csv"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "models",
        nargs="+",
        metavar="MODEL",
        help="models of --weights, or folders: trainings of one start that differ in their seed",
    )
    parser.add_argument("--name", type=model_name, required=True, help="folder to write")
    parser.add_argument(
        "--data",
        action="append",
        required=True,
        metavar="SOURCE",
        help="what they were trained on: the rows held back of it fit the temperature",
    )
    add_json_option(parser)
    add_weights_option(parser)


def run(arguments: argparse.Namespace) -> int:
    with training_installed():
        from training.average import average

    folder = average(
        arguments.weights, arguments.models, arguments.name, arguments.data, arguments.command
    )
    accuracy = folder.card["training"]["held_back"]
    if arguments.json:
        print(json.dumps({"path": str(folder.path), "held_back": accuracy}))
        return 0
    print(f"wrote {folder.path}; of the rows held back it has right: {accuracy}")
    return 0

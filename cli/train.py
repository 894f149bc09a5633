"""lockstep train: data sets to a folder of weights/."""

from __future__ import annotations

import argparse
import json
import math
import string
from dataclasses import fields, replace
from pathlib import Path

from cli.common import WEIGHTS, add_json_option, add_weights_option, training_installed
from training.recipes import RECIPES, Recipe

EXAMPLE = "lockstep train lstm --teacher minilm --data reviews.csv --name mine"
NAME_SIGNS = frozenset(string.ascii_letters + string.digits + "._-")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("architecture", choices=sorted(RECIPES), help="what to train")
    parser.add_argument(
        "--data",
        action="append",
        required=True,
        type=weighted_source,
        metavar="SOURCE[=WEIGHT]",
        help=".tsv, .csv or .jsonl (also .gz), or owner/name:split of the hub; WEIGHT is how often "
        "a pass sees it (1); give several times to train on several",
    )
    parser.add_argument(
        "--teacher",
        action="append",
        default=[],
        metavar="MODEL",
        help="a model of --weights, or a folder, to learn from; give several times to learn from "
        "the mean of several",
    )
    parser.add_argument(
        "--name", type=model_name, help="folder to write and name to serve by (the architecture)"
    )
    parser.add_argument("--labels", help="names of the classes, comma separated (from the data)")
    parser.add_argument(
        "--pooling",
        choices=("mean_max", "mean", "last"),
        help="how hidden states become one vector; last reads the last state alone (mean_max, "
        "which fnn has no use for)",
    )
    parser.add_argument(
        "--pretrained",
        action="store_true",
        help="start from the pretrained encoder (minilm and mpnet)",
    )
    parser.add_argument(
        "--start", metavar="MODEL", help="go on from this model of --weights, or folder"
    )
    parser.add_argument(
        "--precision",
        choices=("auto", "float32", "bfloat16"),
        default="auto",
        help="auto times a step in each and takes the faster, for the teacher as well",
    )
    parser.add_argument("--threads", type=int, help="cores to use (all)")
    parser.add_argument(
        "--work", type=Path, default=Path(".work"), help="checkpoints, to resume from (.work)"
    )
    parser.add_argument("--restart", action="store_true", help="forget earlier checkpoints")
    add_json_option(parser)
    add_weights_option(parser)
    recipe = parser.add_argument_group("recipe (each has a default for each architecture)")
    for field in fields(Recipe):
        kind = float if field.type == "float" else int
        recipe.add_argument(f"--{field.name.replace('_', '-')}", type=kind, metavar="N")


def run(arguments: argparse.Namespace) -> int:
    import shutil

    import torch

    with training_installed():
        from training.job import TrainingJob
        from training.run import train

    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    if not arguments.pretrained:  # which brings its own
        share_wordpiece(arguments.weights)
    changed = {
        field.name: getattr(arguments, field.name)
        for field in fields(Recipe)
        if getattr(arguments, field.name) is not None
    }
    name = arguments.name or arguments.architecture
    if arguments.restart:
        shutil.rmtree(arguments.work / name, ignore_errors=True)
    job = TrainingJob(
        architecture=arguments.architecture,
        name=name,
        sources=arguments.data,
        labels=_labels(arguments.labels),
        teachers=tuple(arguments.teacher),
        pooling=arguments.pooling,
        from_pretrained=arguments.pretrained,
        start=arguments.start,
        weights=arguments.weights,
        work=arguments.work,
        recipe=replace(RECIPES[arguments.architecture], **changed),
        precision=arguments.precision,
        command=arguments.command,
    )
    folder = train(job)
    if arguments.json:
        accuracy = folder.card["training"]["held_back"]
        print(json.dumps({"path": str(folder.path), "held_back": accuracy}))
        return 0
    print(f"wrote {folder.path}; score it with: lockstep evaluate {name} --data ...")
    return 0


def share_wordpiece(weights: Path) -> None:
    """Gives a new folder of models the shipped tokenizer and word table."""
    import shutil

    from models.folder import WORDPIECE

    if not (weights / WORDPIECE).exists() and (WEIGHTS / WORDPIECE).exists():
        shutil.copytree(WEIGHTS / WORDPIECE, weights / WORDPIECE)


def weighted_source(text: str) -> tuple[str, float]:
    """``SOURCE`` or ``SOURCE=WEIGHT``; what follows an = and isn't a number belongs to the name."""
    source, _, weight = text.rpartition("=")
    try:
        number = float(weight) if source else 1.0
    except ValueError:
        return text, 1.0
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"{text}: a weight must be above 0")
    return source or text, number


def model_name(text: str) -> str:
    """A name that can be a folder beside ``wordpiece`` and a part of a URL."""
    if not text.strip("._-") or text == "wordpiece" or set(text) - NAME_SIGNS:
        raise argparse.ArgumentTypeError(f"{text!r}: not a name (letters, digits, . _ -)")
    return text


def _labels(text: str | None) -> tuple[str, ...] | None:
    return tuple(label.strip() for label in text.split(",")) if text else None

"""lockstep evaluate: scores on labelled texts, written into the model's card."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace

from cli.common import add_json_option, add_to_card, add_weights_option, progress

EXAMPLE = "lockstep evaluate lstm --data sst2/dev.tsv --data imdb/dev.jsonl.gz"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", help="name of a model")
    parser.add_argument(
        "--data",
        action="append",
        required=True,
        metavar="SOURCE",
        help=".tsv, .csv or .jsonl (also .gz), or owner/name:split of the hub; "
        "give several times to score on several",
    )
    parser.add_argument("--no-write", action="store_true", help="leave the model's card as it is")
    add_json_option(parser)
    add_weights_option(parser)


def run(arguments: argparse.Namespace) -> int:
    from models import folder as folders
    from models.checkpoint import load_predictor
    from training.data import read
    from training.evaluate import evaluate, in_bfloat16

    sets = [read(source) for source in arguments.data]  # a bad file is found before an hour's work
    folder, predictor = load_predictor(arguments.weights, arguments.model, "auto")
    halved = in_bfloat16(predictor)
    runs = max(len(predictor.classifier.encoder.schedules), 1) * (2 if halved else 1)
    found = {}
    for data in sets:
        with progress(len(data.rows) * runs, "texts") as tell:
            heard = replace(predictor, tell=tell)
            evaluation = evaluate(heard, data, halved and replace(halved, tell=tell))
        if not arguments.json:
            print(evaluation.table(), flush=True)
        found[data.name] = evaluation.to_dict() | {"command": arguments.command}
    if arguments.json:
        print(json.dumps(found))
    if not arguments.no_write:
        earlier = folders.read(folder.path).card.get("accuracy", {})
        add_to_card(folder, accuracy=earlier | found)
    return 0

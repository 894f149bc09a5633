"""lockstep classify: the verdict on texts, without a server."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from cli.common import add_weights_option, describe

EXAMPLE = """lockstep classify "Two hours I will never get back." --model transformer
  lockstep classify --file reviews.jsonl --model lstm --out verdicts.jsonl"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "texts", nargs="*", metavar="TEXT", help="what to classify (lines of standard input)"
    )
    parser.add_argument(
        "--file",
        type=Path,
        help="classify a file of any size, .jsonl, .csv, .tsv or .txt (also .gz; - is JSON lines "
        "on standard input), to a JSON line for each record",
    )
    parser.add_argument(
        "--out",
        type=Path,
        help="with --file: write there, and go on behind what is there already (standard output)",
    )
    parser.add_argument("--model", default="lstm", help="name of a model (lstm)")
    parser.add_argument(
        "--long-input",
        choices=("truncate", "segment", "error"),
        default="truncate",
        help="what to do with a text longer than the model's window (truncate)",
    )
    parser.add_argument(
        "--schedule",
        choices=("serial", "parallel"),
        help="how to run a model that has both (mingru, mamba); its own choice unless given",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    add_weights_option(parser)


def run(arguments: argparse.Namespace) -> int:
    if arguments.file or arguments.out:
        return _run_file(arguments)
    from models.checkpoint import load_predictor
    from models.errors import InputError

    texts = arguments.texts or [line.rstrip("\r\n") for line in sys.stdin]
    if not texts:
        raise InputError("no text: give one as an argument, or one a line on standard input")
    _, predictor = load_predictor(arguments.weights, arguments.model)
    for prediction in predictor.predict(texts, arguments.long_input, arguments.schedule):
        result = describe(prediction)
        print(json.dumps(result, ensure_ascii=False) if arguments.json else _line(result))
    return 0


def _run_file(arguments: argparse.Namespace) -> int:
    from cli.classify_file import classify_file

    if not arguments.file or arguments.texts:
        raise ValueError("--out goes with --file, and --file with no TEXT")
    failed = classify_file(
        arguments.file,
        arguments.out,
        arguments.weights,
        arguments.model,
        arguments.long_input,
        arguments.schedule,
    )
    if failed:
        print(f"lockstep classify: {failed} records had no verdict", file=sys.stderr)
    return 1 if failed else 0


def _line(result: dict[str, Any]) -> str:
    line = "{label} {score:.4f}  {tokens} tokens, {unknown_tokens} unknown".format_map(result)
    if result["truncated"]:
        line += ", truncated"
    return line + (f", {result['segments']} segments" if result["segments"] > 1 else "")

"""lockstep classify: the verdict on texts, without a server."""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING, Any

from cli.common import add_weights_option

if TYPE_CHECKING:
    from models.predict import Prediction


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "texts", nargs="*", metavar="TEXT", help="what to classify (lines of standard input)"
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


def describe(prediction: Prediction) -> dict[str, Any]:
    """A prediction with the names that the HTTP API gives it."""
    verdict, prepared = prediction.verdict, prediction.prepared
    return {
        "label": verdict.label,
        "score": round(verdict.score, 4),
        "scores": {label: round(score, 4) for label, score in verdict.scores.items()},
        "tokens": prepared.tokens,
        "unknown_tokens": prepared.unknown_tokens,
        "truncated": prepared.truncated,
        "segments": len(prepared.windows),
    }


def _line(result: dict[str, Any]) -> str:
    line = "{label} {score:.4f}  {tokens} tokens, {unknown_tokens} unknown".format_map(result)
    if result["truncated"]:
        line += ", truncated"
    return line + (f", {result['segments']} segments" if result["segments"] > 1 else "")

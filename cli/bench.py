"""lockstep bench WHAT: each in a file of its own, which imports what it runs when it runs."""

from __future__ import annotations

import argparse
import importlib

from cli.common import add_json_option

EXAMPLE = "lockstep bench gap --models lstm,transformer --lengths 16,256"
BENCHES = {
    "gap": "time forwards alone: every model, length, batch size and schedule",
    "batching": "replay traffic through the service's batching policy and others",
    "serve": "ask the service and its baselines the same texts, in turn",
    "training": "time a training step of every model on the same batch",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    benches = parser.add_subparsers(dest="bench", metavar="WHAT", required=True)
    for name, text in BENCHES.items():
        module = importlib.import_module(f"cli.bench_{name}")
        bench = benches.add_parser(
            name,
            help=text,
            description=text,
            epilog=f"example:\n  {module.EXAMPLE}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(bench)
        add_json_option(bench)


def run(arguments: argparse.Namespace) -> int:
    status: int = importlib.import_module(f"cli.bench_{arguments.bench}").run(arguments)
    return status

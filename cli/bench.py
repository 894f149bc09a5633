"""lockstep bench WHAT: each in a file of its own, which imports what it runs when it runs."""

from __future__ import annotations

import argparse
import importlib

BENCHES = {
    "gap": "time forwards alone: every model, length, batch size and schedule",
    "batching": "replay traffic through the service's batching policy and others",
    "training": "time a training step of every model on the same batch",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    benches = parser.add_subparsers(dest="bench", metavar="WHAT", required=True)
    for name, text in BENCHES.items():
        bench = benches.add_parser(name, help=text, description=text)
        importlib.import_module(f"cli.bench_{name}").add_arguments(bench)


def run(arguments: argparse.Namespace) -> int:
    status: int = importlib.import_module(f"cli.bench_{arguments.bench}").run(arguments)
    return status

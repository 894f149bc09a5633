"""lockstep bench serve: the service beside FastAPI and LitServe, on the same texts, in turn."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli.bench_gap import numbers
from cli.common import (
    add_forward_options,
    add_weights_option,
    names,
    training_installed,
    usable_device,
)

if TYPE_CHECKING:
    from bench.comparison import Comparison, Plan

EXAMPLE = "lockstep bench serve --quick --models lstm --workloads short"
FULL: dict[str, Any] = {
    "clients": (1, 8, 32, 128),
    "growth": (4, 64, 256),
    "sizes": (1, 2, 4, 8, 16, 32),
    "seconds": 2.0,
    "rounds": 3,
}
QUICK: dict[str, Any] = {
    "clients": (1, 32),
    "growth": (),
    "sizes": (1, 32),
    "seconds": 1.0,
    "rounds": 1,
}
WORKLOADS = ("short", "mixed", "long", "lists")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--models", type=names, default=["minilm", "lstm"], metavar="NAME,…", help="(minilm,lstm)"
    )
    parser.add_argument(
        "--workloads",
        type=names,
        metavar="NAME,…",
        help="of each model: short, mixed, long, lists, mixed-lists (the first four of the first "
        "model, short of the others)",
    )
    parser.add_argument(
        "--data",
        action="append",
        default=[],
        metavar="SOURCE",
        help=".tsv, .csv or .jsonl (also .gz) with texts, or owner/name:split of the hub "
        "(made-up texts)",
    )
    parser.add_argument("--quick", action="store_true", help="less of everything: a first look")
    parser.add_argument(
        "--clients", type=numbers, metavar="N,…", help="that ask each server (1,8,32,128)"
    )
    parser.add_argument(
        "--growth",
        type=numbers,
        metavar="N,…",
        help="more, that ask the service alone, short and mixed texts (4,64,256)",
    )
    parser.add_argument(
        "--sizes",
        type=numbers,
        metavar="N,…",
        help="batches that the baselines are tuned over (1,2,4,8,16,32)",
    )
    parser.add_argument("--seconds", type=float, help="that requests are sent in a turn (2)")
    parser.add_argument("--rounds", type=int, help="turns of each server (3)")
    parser.add_argument(
        "--free",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="also short texts with no forward, so that the servers alone are compared",
    )
    parser.add_argument(
        "--device", default="cpu", help="of all servers' forwards: auto, cpu, cuda or cuda:N (cpu)"
    )
    add_forward_options(parser)
    parser.add_argument("--seed", type=int, default=1, help="of what is drawn (1)")
    parser.add_argument("--out", type=Path, help="folder for tables, figures and plots (none)")
    add_weights_option(parser)


def run(arguments: argparse.Namespace) -> int:
    from bench.processes import ServerError, ending_on_sigterm
    from bench.serve_report import Report, page

    plan = _plan(arguments)
    if arguments.out:
        with training_installed():  # or it is said before the work
            from bench.plots import plot_serve

        arguments.out.mkdir(parents=True, exist_ok=True)
    try:
        with ending_on_sigterm():
            comparisons = _measure(arguments, plan)
    except ServerError as error:
        _say(f"lockstep bench serve: {error}")
        return 1
    report = Report(
        arguments.command, _hardware(arguments), _versions(), arguments.data, plan, comparisons
    )
    print(json.dumps(report.to_dict()) if arguments.json else page(report))
    if arguments.out:
        (arguments.out / "serve.md").write_text(page(report), encoding="utf-8")
        (arguments.out / "serve.json").write_text(
            json.dumps(report.to_dict(), indent=1) + "\n", encoding="utf-8"
        )
        for path in plot_serve(comparisons, arguments.out):
            _say(f"wrote {path}")
    for line in report.errors():
        _say(line)
    return 1 if report.errors() else 0


def _plan(arguments: argparse.Namespace) -> Plan:
    from bench.comparison import Plan

    usual = QUICK if arguments.quick else FULL
    given = {
        name: usual[name] if getattr(arguments, name) is None else getattr(arguments, name)
        for name in usual
    }
    plan = Plan(**given, seed=arguments.seed)
    if min(plan.seconds, plan.rounds, arguments.threads) <= 0:
        raise ValueError("--seconds, --rounds and --threads must be above zero")
    return plan


def _measure(arguments: argparse.Namespace, plan: Plan) -> list[Comparison]:
    from bench.contenders import Setup
    from bench.serve import compare
    from bench.workloads import WORKLOADS as KNOWN
    from bench.workloads import make_texts, read_texts
    from models import folder as folders
    from models.tokenizer import Tokenizer

    if unknown := [name for name in arguments.workloads or () if name not in KNOWN]:
        raise ValueError(f"no workload {', '.join(unknown)}; there are: {', '.join(KNOWN)}")
    # What can't be is said before the work.
    folders.discover(arguments.weights, arguments.models)
    device = _one_device(arguments.device)
    texts = make_texts(plan.seed)
    if arguments.data:
        tokenizer = Tokenizer.load(arguments.weights / folders.WORDPIECE)
        texts = read_texts(arguments.data, tokenizer, plan.seed)
    comparisons: list[Comparison] = []
    for at, model in enumerate(arguments.models):
        setup = Setup(
            weights=arguments.weights,
            model=model,
            device=device,
            dtype=arguments.dtype,
            threads=arguments.threads,
        )
        asked = arguments.workloads or (WORKLOADS if at == 0 else WORKLOADS[:1])
        comparisons += compare(setup, [KNOWN[name] for name in asked], texts, plan, _say)
    if arguments.free:
        free = Setup(
            weights=arguments.weights,
            model=arguments.models[-1],
            device=device,
            dtype="float32",
            threads=arguments.threads,
            free=True,
        )
        comparisons += compare(free, [KNOWN["short"]], texts, plan, _say)
    return comparisons


def _one_device(wanted: str) -> str:
    """One for all: the service would take every GPU there is, and the baselines have no second."""
    device = str(usable_device(wanted))
    return "cuda:0" if device == "cuda" else device


def _hardware(arguments: argparse.Namespace) -> dict[str, Any]:
    import torch

    from bench.hardware import describe_hardware

    torch.set_num_threads(arguments.threads)
    return describe_hardware(usable_device(arguments.device)) | {
        "cores": len(os.sched_getaffinity(0))
    }


def _versions() -> dict[str, str]:
    from importlib.metadata import version

    return {name: version(name) for name in ("lockstep", "litserve", "fastapi", "uvicorn")}


def _say(what: str) -> None:
    print(what, file=sys.stderr, flush=True)

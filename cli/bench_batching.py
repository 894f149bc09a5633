"""lockstep bench batching: the service's policy beside others, on one stream of texts."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from bench.tables import table
from cli.common import add_forward_options, add_weights_option
from cli.models import UNKNOWN

if TYPE_CHECKING:
    from bench.batching import Latency, Result
    from bench.forwards import Machine, ModelCost
    from bench.traffic import Texts, Traffic

EXAMPLE = "lockstep bench batching minilm --data sst2/dev.tsv --data imdb/dev.jsonl.gz"
MADE_TEXTS = 5000  # of each kind, where no data are given
LONGEST = 512  # tokens of a text for a model that reads any length


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("models", nargs="*", metavar="MODEL", help="names of models (minilm, lstm)")
    parser.add_argument(
        "--data",
        action="append",
        default=[],
        metavar="SOURCE",
        help=".tsv, .csv or .jsonl (also .gz) with texts, or owner/name:split of the hub; each "
        "text is drawn from one of those given, in equal shares (made-up lengths)",
    )
    parser.add_argument("--clients", type=int, default=32, help="that wait for each answer (32)")
    parser.add_argument(
        "--rate", type=float, help="texts a second at random times, in place of clients"
    )
    parser.add_argument("--texts", type=int, default=4000, help="to send (4000)")
    parser.add_argument("--seed", type=int, default=1, help="of what is drawn (1)")
    parser.add_argument(
        "--costs", type=Path, help="take the forwards' times from what --out wrote, not measured"
    )
    parser.add_argument("--out", type=Path, help="file for the results, and the costs, as JSON")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (auto)")
    add_forward_options(parser)
    add_weights_option(parser)


def run(arguments: argparse.Namespace) -> int:
    from bench.batching import compare, offline_limit
    from bench.choosing import WAITING, choice_seconds
    from bench.traffic import Clients, Poisson
    from service.engine.batcher import BatchLimits
    from service.engine.queue import Group

    counts = (arguments.texts, arguments.clients, arguments.threads)
    if min(counts) < 1 or (arguments.rate is not None and arguments.rate <= 0):
        raise ValueError("--texts, --clients, --threads and --rate must be above zero")
    traffic: Traffic = Poisson(arguments.rate) if arguments.rate else Clients(arguments.clients)
    lengths = _lengths(arguments)  # a bad file is found before the forwards are timed
    machine, costs = _costs(arguments)
    say = _silent if arguments.json else partial(print, flush=True)
    measured = []
    for cost in costs:
        texts = _texts(lengths, cost.window, arguments.seed)
        results = compare(
            cost.model,
            cost.schedule,
            cost.cost,
            texts,
            traffic,
            count=arguments.texts,
            padded_tokens=machine.padded_tokens,
            seed=arguments.seed,
        )
        limit = offline_limit(cost.cost, texts, count=arguments.texts, seed=arguments.seed)
        say(f"{title(machine, cost, texts, traffic)}\n\n{table(rows(results))}\n")
        say(
            f"Sorted by length and run offline: {limit.texts_per_second:.1f} texts/s, in batches "
            f"of at most {limit.padded_tokens} tokens\n"
        )
        limits = BatchLimits(machine.padded_tokens, {(cost.model, cost.schedule): cost.cost})
        group = Group(cost.model, cost.schedule, "client")
        choices = {
            waiting: choice_seconds(limits, group, texts, waiting, arguments.seed)
            for waiting in WAITING
        }
        among = ", ".join(f"{taken * 1e6:.0f} µs among {n:,}" for n, taken in choices.items())
        say(f"Choosing a batch: {among} texts\n")
        found = {
            "results": [result.to_dict() for result in results],
            "offline": asdict(limit),
            "choice_seconds": choices,
        }
        measured.append(cost.to_dict() | found)
    written = {
        "command": arguments.command,
        "traffic": str(traffic),
        "machine": asdict(machine),
        "models": measured,
    }
    if arguments.json:
        print(json.dumps(written))
    if arguments.out is not None:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps(written, indent=1) + "\n", encoding="utf-8")
        print(f"wrote {arguments.out}", file=sys.stderr)
    return 0


def _silent(line: str) -> None:
    """What is said to a reader isn't said to a program."""


def title(machine: Machine, cost: ModelCost, texts: Texts, traffic: Traffic) -> str:
    """What was replayed, and how well the forwards' times are known."""
    schedule = f", {cost.schedule}" if cost.schedule else ""
    typical, worst = cost.errors
    term = cost.cost
    n, own = ("T", "") if term.padded else ("n", " and n its own")
    return (
        f"{cost.model} ({cost.dtype}{schedule}) on {machine}; {traffic}; "
        f"texts of {' and '.join(texts.sources)}\n"
        f"a forward: {term.start * 1e3:.2f} ms + {term.step * 1e6:.2f} µs·T and for each text "
        f"{term.token * 1e6:.2f} µs·{n} + {term.pair * 1e9:.2f} ns·{n}², where T is the longest "
        f"one's tokens{own}; off by {typical:.1%} in the median of"
        f" {len(cost.measured)} shapes, by {worst:.1%} at most"
    )


def rows(results: Sequence[Result]) -> list[list[str]]:
    """A row a policy under a row of headings; latencies in ms."""
    headings = ["policy", "", "texts/s", "short p50", "p99", "long p50", "p99", "longest"]
    return [
        [*headings, "padding", "texts a batch", "µs to decide"],
        *(
            [
                result.policy,
                "",
                f"{result.texts_per_second:.1f}",
                *_ms(result.short)[:2],
                *_ms(result.long),
                f"{result.padding:.1%}",
                f"{result.rows_per_batch:.1f}",
                UNKNOWN
                if result.decision_seconds is None
                else f"{result.decision_seconds * 1e6:.0f}",
            ]
            for result in results
        ),
    ]


def _ms(latency: Latency) -> list[str]:
    values = (latency.p50, latency.p99, latency.longest)
    return [UNKNOWN if value is None else f"{value * 1e3:.1f}" for value in values]


def _lengths(arguments: argparse.Namespace) -> dict[str, list[int]]:
    """Tokens of the texts of each source, uncut; none where no data were given."""
    from models.folder import WORDPIECE
    from models.tokenizer import Tokenizer
    from training.data import read

    if not arguments.data:
        return {}
    tokenizer = Tokenizer.load(arguments.weights / WORDPIECE)
    sets = [read(source) for source in arguments.data]
    return {
        data.name: [len(tokens.ids) for tokens in tokenizer.encode([row.text for row in data.rows])]
        for data in sets
    }


def _texts(lengths: dict[str, list[int]], window: int | None, seed: int) -> Texts:
    from bench.traffic import Texts, made_texts

    longest = window or LONGEST
    if not lengths:
        return made_texts(MADE_TEXTS, longest, seed)
    return Texts({name: [min(one, longest) for one in known] for name, known in lengths.items()})


def _costs(arguments: argparse.Namespace) -> tuple[Machine, list[ModelCost]]:
    from bench.forwards import Machine, ModelCost, model_costs

    names = arguments.models or ["minilm", "lstm"]
    if arguments.costs is None:
        try:
            return model_costs(
                arguments.weights, names, arguments.device, arguments.dtype, arguments.threads
            )
        except RuntimeError as error:  # there is no such device
            raise ValueError(str(error)) from error
    try:
        found = json.loads(arguments.costs.read_text(encoding="utf-8"))
        costs = {cost.model: cost for cost in map(ModelCost.from_dict, found["models"])}
        machine = Machine(**found["machine"])
    except (KeyError, TypeError) as error:
        raise ValueError(f"{arguments.costs} isn't what --out writes: {error!r}") from error
    missing = [name for name in arguments.models if name not in costs]
    if missing:
        raise ValueError(f"{arguments.costs} has no costs of {', '.join(missing)}")
    return machine, [costs[name] for name in arguments.models or costs]

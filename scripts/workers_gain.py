"""What two workers on a CPU give over one: both services asked the same, in turn.

    .venv/bin/python scripts/workers_gain.py --data dev.tsv --data reviews.jsonl.gz

A table for docs/performance.md: requests/s, p50 and p99 of both, medians of the rounds, and the
ratio of the requests. Each service is held still while the other is asked.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.contenders import Setup, lockstep
from bench.gap_report import markdown
from bench.processes import Server
from bench.serve import paused
from bench.turns import Turn, drive
from bench.workloads import WORKLOADS, Request, make_texts, read_texts, requests
from models import folder as folders
from models.tokenizer import Tokenizer

ROOT = Path(__file__).resolve().parent.parent
WEIGHTS = ROOT / "weights"
ASKED = (  # model, workload, clients
    ("minilm", "short", 1),
    ("minilm", "short", 32),
    ("minilm", "long", 1),
    ("minilm", "mixed", 32),
    ("minilm", "lists", 32),
    ("lstm", "short", 1),
    ("lstm", "short", 32),
)
WORKERS = (1, 2)
WARM_UP_CLIENTS, WARM_UP_SECONDS = 8, 1.0


def server(model: str, workers: int, cores: int) -> Server:
    """The service as it is shipped, but for the number of its workers."""
    setup = Setup(weights=WEIGHTS, model=model, dtype="auto", threads=cores)
    started = lockstep(setup)
    started.command += ["--workers", str(workers)]
    return started


def ask_both(
    servers: Mapping[int, Server],
    drawn: Sequence[Request],
    clients: int,
    seconds: float,
    rounds: int,
) -> dict[int, list[Turn]]:
    """Turns by number of workers; who begins changes from round to round."""
    turns: dict[int, list[Turn]] = {workers: [] for workers in WORKERS}
    for number in range(rounds):
        for workers in WORKERS if number % 2 else WORKERS[::-1]:
            with servers[workers].awake():
                turn = drive(servers[workers], drawn, clients, seconds, str(number))
            turns[workers].append(turn)
    return turns


def row(model: str, workload: str, clients: int, turns: dict[int, list[Turn]]) -> list[str]:
    """One line of the table; ``turns`` by number of workers."""
    cells = [model, workload, str(clients)]
    rates = [statistics.median(turn.per_second for turn in turns[workers]) for workers in WORKERS]
    cells += [f"{rate:.1f}" for rate in rates]
    cells.append(f"{rates[1] / rates[0]:.2f}")
    for percentile in ("p50", "p99"):
        cells += [
            f"{1e3 * statistics.median(getattr(turn.latency, percentile) for turn in some):.1f}"
            for some in (turns[workers] for workers in WORKERS)
        ]
    return cells


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", action="append", default=[], help="texts (made-up ones)")
    parser.add_argument("--models", nargs="*", help="of the table's (all of them)")
    parser.add_argument("--seconds", type=float, default=3.0, help="of a turn (3)")
    parser.add_argument("--rounds", type=int, default=3, help="(3)")
    parser.add_argument("--cores", type=int, default=2, help="for forwards (2)")
    options = parser.parse_args(words)
    texts = make_texts(1)
    if options.data:
        texts = read_texts(options.data, Tokenizer.load(WEIGHTS / folders.WORDPIECE), 1)
    rows = []
    for model in dict.fromkeys(model for model, _, _ in ASKED):
        if options.models and model not in options.models:
            continue
        servers = {workers: server(model, workers, options.cores) for workers in WORKERS}
        with paused(list(servers.values())):
            for workload, clients in [asked[1:] for asked in ASKED if asked[0] == model]:
                drawn = requests(WORKLOADS[workload], texts, 1)
                ask_both(servers, drawn, WARM_UP_CLIENTS, min(WARM_UP_SECONDS, options.seconds), 1)
                turns = ask_both(servers, drawn, clients, options.seconds, options.rounds)
                rows.append(row(model, workload, clients, turns))
    one, two = (f"{count} worker{'s' if count > 1 else ''}" for count in WORKERS)
    heads = ["model", "texts", "clients", f"requests/s, {one}", two, "ratio"]
    heads += [f"p50 ms, {one}", two, f"p99 ms, {one}", two]
    print(markdown([heads, *rows]))


if __name__ == "__main__":
    main()

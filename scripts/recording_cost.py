"""What recording a request's metrics takes, in µs of CPU, beside what the request takes in all.

    .venv/bin/python scripts/recording_cost.py

First a microbenchmark of everything recorded for one answered request of one text, its batch's
facts included: for one API process, and for several, which keep their values in files; folded after
each request, as where one client asks, and after a hundred, as where many do. Then a
service, one client, and the CPU time of its API process and of its worker over many requests.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from pathlib import Path

from footprint import PORT, TEXT, cpu_seconds, get, group
from serving import serving

from service.observe.metrics import Metrics
from service.observe.timing import STAGES

RECORDED = 20_000
ROUNDS = 5
REQUESTS = 2_000
STAGE_SECONDS = dict.fromkeys(STAGES, 0.001)


def record(metrics: Metrics) -> None:
    """All that is recorded for one answered request of one text that rode alone."""
    metrics.in_flight("lstm", 1)
    metrics.batch("lstm", rows=1, tokens=17, padding=0, forward_seconds=0.002, flops=9, steps=34)
    metrics.busy("cpu", 0.002)
    metrics.stages("lstm", STAGE_SECONDS)
    metrics.ride("lstm", "", 0.002, 17, 1)
    metrics.text("lstm", 17, 0, False, 1)
    metrics.verdict("lstm", "positive", 0.93)
    metrics.in_flight("lstm", -1)
    metrics.request("lstm", "/v1/classify", 200, 0.003)


def microseconds(folder: Path | None, together: int) -> float:
    """CPU time of recording a request, folded so many together; the median of some rounds."""
    metrics = Metrics({"lstm": ["negative", "positive"]}, ["/v1/classify"], folder=folder)
    metrics.gather(asyncio.new_event_loop())  # which doesn't run: it is folded here
    rounds = []
    for _ in range(ROUNDS):
        began = time.process_time()
        for number in range(RECORDED):
            record(metrics)
            if number % together == 0:
                metrics.fold()
        rounds.append((time.process_time() - began) / RECORDED * 1e6)
    return statistics.median(rounds)


def of_a_service() -> None:
    """Starts one, asks it, and prints what a request took of each process that worked for it."""
    with serving(PORT, "--models", "lstm") as leader:
        pids = group(leader)
        before = {pid: cpu_seconds(pid) for pid in pids}
        for _ in range(REQUESTS):
            get("/v1/classify", {"inputs": TEXT, "model": "lstm"})
        took = sorted((cpu_seconds(pid) - before[pid]) / REQUESTS * 1e6 for pid in pids)
        print(f"a request in all: {sum(took):.0f} µs of CPU; by process: ", end="")
        print(", ".join(f"{each:.0f}" for each in reversed(took) if each >= 1))


def main() -> None:
    for together in (1, 100):
        print(f"recording, {together} folded together, µs of CPU a request:", end=" ")
        print(f"{microseconds(None, together):.1f} in one API process,", end=" ")
        with tempfile.TemporaryDirectory() as folder:
            print(f"{microseconds(Path(folder) / 'metrics', together):.1f} in one of several")
    of_a_service()


if __name__ == "__main__":
    main()

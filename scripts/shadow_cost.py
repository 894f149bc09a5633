"""What shadowing costs clients: latency with and without it, in paired runs.

    .venv/bin/python scripts/shadow_cost.py TEXTS.tsv [--rate 20] [--share 0.2] [--rounds 6]

Two services stand side by side, one with a shadow and one without, and are asked in turn, a block
of requests each, at random times of the given mean rate; the one that isn't asked is idle. The
order within a round alternates. Texts come from a file with a header and a text first in each line.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import re
import statistics
import time
from pathlib import Path

import httpx
from serving import serving

BLOCK_SECONDS = 20
PORTS = {"without": 8766, "with": 8767}
PRIMARY, SHADOW = "transformer", "lstm"


async def block(port: int, texts: list[str], rate: float, generator: random.Random) -> list[float]:
    """Latencies, in ms, of requests sent at random times for a while."""
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:

        async def ask(text: str) -> float:
            began = time.perf_counter()
            body = {"inputs": text, "model": PRIMARY}
            (await client.post("/v1/classify", json=body)).raise_for_status()
            return (time.perf_counter() - began) * 1e3

        tasks, until = [], time.perf_counter() + BLOCK_SECONDS
        while time.perf_counter() < until:
            tasks.append(asyncio.create_task(ask(generator.choice(texts))))
            await asyncio.sleep(generator.expovariate(rate))
        return await asyncio.gather(*tasks)


def counted(port: int, name: str) -> float:
    """The sum of a counter's series."""
    text = httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=30).text
    return sum(float(n) for n in re.findall(rf"^{name}{{.*}} (.*)$", text, re.MULTILINE))


def percentile(values: list[float], share: float) -> float:
    return statistics.quantiles(values, n=1000)[round(share * 1000) - 1]


def compared(latencies: dict[str, list[list[float]]], share: float) -> str:
    """A line on one percentile: medians over the rounds, and the ratio within each round."""
    each = {name: [percentile(one, share) for one in found] for name, found in latencies.items()}
    ratios = [a / b for a, b in zip(each["with"], each["without"], strict=True)]
    without, shadowed = (statistics.median(each[name]) for name in ("without", "with"))
    return (
        f"p{share * 100:.0f}: {without:.2f} ms without, {shadowed:.2f} ms with; ratio of pairs, "
        f"median {statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})"
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("texts", type=Path)
    parser.add_argument("--rate", type=float, default=20, help="requests a second")
    parser.add_argument("--share", type=float, default=0.2, help="of the requests shadowed")
    parser.add_argument("--rounds", type=int, default=6)
    options = parser.parse_args()
    lines = options.texts.read_text(encoding="utf-8").splitlines()[1:]
    texts = [line.split("\t")[0] for line in lines]
    generator = random.Random(1)
    latencies: dict[str, list[list[float]]] = {name: [] for name in PORTS}
    models = ("--models", f"{PRIMARY},{SHADOW}")
    rule = ("--shadow", f"{PRIMARY}={SHADOW}:{options.share}")
    with serving(PORTS["without"], *models), serving(PORTS["with"], *models, *rule):
        for number in range(options.rounds):
            for name in sorted(PORTS, reverse=bool(number % 2)):
                done = asyncio.run(block(PORTS[name], texts, options.rate, generator))
                latencies[name].append(done)
        for share in (0.5, 0.9, 0.99):
            print(compared(latencies, share))
        replayed = counted(PORTS["with"], "lockstep_shadow_agreements_total")
        dropped = counted(PORTS["with"], "lockstep_shadow_dropped_total")
        asked = sum(len(one) for one in latencies["with"])
        print(f"{asked} requests; {replayed:.0f} replays, {dropped:.0f} dropped")


if __name__ == "__main__":
    main()

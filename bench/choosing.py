"""What the service's policy takes to choose a batch, in real time, however many texts wait."""

from __future__ import annotations

import itertools
import random
import statistics
import time

from bench.policies import Service, Text
from bench.traffic import Texts
from service.engine.batcher import BatchLimits
from service.engine.queue import Group

WAITING = (100, 1_000, 10_000)
BATCHES = 200


def choice_seconds(
    limits: BatchLimits, group: Group, texts: Texts, waiting: int, seed: int
) -> float:
    """Median over ``BATCHES`` of choosing one and taking it out; as many come as leave.

    Args:
        limits: of a batch.
        group: of all texts.
        texts: to draw from.
        waiting: texts, each time a batch is chosen.
        seed: of what is drawn.
    """
    generator = random.Random(seed)
    numbers = itertools.count()
    policy = Service(limits)
    taken: list[float] = []
    coming = waiting
    for _ in range(BATCHES):
        for _ in range(coming):
            policy.add(Text(next(numbers), group, texts.draw(generator), sent=0.0))
        began = time.perf_counter()
        coming = len(policy.take(0.0))
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)

"""How policies of batching compare: the same texts through each, on a virtual clock.

texts' lengths ─┐
traffic ────────┼─▶ replay, once a policy ──▶ latency, throughput, padding
forward costs ──┘
"""

from __future__ import annotations

import random
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from bench.policies import Service, policies
from bench.replay import Outcome, replay
from bench.traffic import Texts, Traffic
from models.predict import batches_by_length
from service.engine.batcher import BatchLimits
from service.engine.forward_cost import ForwardCost
from service.engine.queue import Group

LONGEST_SHORT = (
    64  # tokens: SST-2's dev sentences have 60 at most, nearly all of IMDB's reviews more
)

OFFLINE_BOUNDS = [2**power for power in range(8, 17)]  # padded tokens of a batch


@dataclass(frozen=True, slots=True)
class Latency:
    """Of some texts, in seconds; None where there were none.

    Attributes:
        texts: how many.
    """

    texts: int
    p50: float | None
    p99: float | None
    longest: float | None

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Latency:
        if not seconds:
            return cls(0, None, None, None)
        return cls(len(seconds), quantile(seconds, 0.5), quantile(seconds, 0.99), max(seconds))


@dataclass(frozen=True, slots=True)
class Result:
    """What one policy made of the traffic.

    Attributes:
        policy: its name.
        texts_per_second: answered.
        short, long: latencies of texts of at most ``LONGEST_SHORT`` tokens, and of the others.
        padding: share of the padded tokens.
        rows_per_batch: mean.
        decision_seconds: of real time, mean of the service's policy; None for the others.
    """

    policy: str
    texts_per_second: float
    short: Latency
    long: Latency
    padding: float
    rows_per_batch: float
    decision_seconds: float | None

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def compare(
    model: str,
    schedule: str | None,
    cost: ForwardCost,
    texts: Texts,
    traffic: Traffic,
    *,
    count: int,
    padded_tokens: int,
    seed: int,
) -> list[Result]:
    """One result a policy: the same texts, in the same order, from the same traffic.

    Args:
        model, schedule: what runs.
        cost: of its forwards: what they take, and what the service's policy expects of them.
        texts: to draw from.
        traffic: when they come.
        count: of texts.
        padded_tokens: the service's bound of a batch.
        seed: of what is drawn.
    """
    lengths = draw(texts, count, seed)
    group = Group(model, schedule, "client")
    results = []
    for name, make in policies(BatchLimits(padded_tokens, {(model, schedule): cost})).items():
        policy = make()
        outcome = replay(policy, traffic, lengths, cost, group, seed)
        decision = None
        if isinstance(policy, Service):
            decision = policy.decision_seconds / policy.decisions
        results.append(summary(name, outcome, decision))
    return results


@dataclass(frozen=True, slots=True)
class OfflineLimit:
    """What no service can do: all texts there at once, sorted by length, in one process.

    Attributes:
        texts_per_second: with the best bound of a batch.
        padded_tokens: that bound.
    """

    texts_per_second: float
    padded_tokens: int


def offline_limit(cost: ForwardCost, texts: Texts, *, count: int, seed: int) -> OfflineLimit:
    """For the texts that ``compare`` sends."""
    lengths = draw(texts, count, seed)

    def speed(padded_tokens: int) -> float:
        batches = batches_by_length(lengths, padded_tokens)
        ran = [[lengths[i] for i in batch] for batch in batches]
        return count / sum(map(cost.of, ran))

    best = max(OFFLINE_BOUNDS, key=speed)
    return OfflineLimit(speed(best), best)


def draw(texts: Texts, count: int, seed: int) -> list[int]:
    """Lengths of the texts to send, in order."""
    generator = random.Random(seed)
    return [texts.draw(generator) for _ in range(count)]


def summary(policy: str, outcome: Outcome, decision_seconds: float | None = None) -> Result:
    """What a replay comes to."""
    short, long = (
        [one.seconds for one in outcome.answered if (one.length <= LONGEST_SHORT) is wanted]
        for wanted in (True, False)
    )
    return Result(
        policy=policy,
        texts_per_second=outcome.rows / outcome.seconds,
        short=Latency.of(short),
        long=Latency.of(long),
        padding=1 - outcome.tokens / outcome.padded_tokens,
        rows_per_batch=outcome.rows / outcome.batches,
        decision_seconds=decision_seconds,
    )


def quantile(values: Sequence[float], share: float) -> float:
    """The value that ``share`` of them don't exceed, between neighbours in proportion."""
    if len(values) == 1:
        return values[0]
    return statistics.quantiles(values, n=1000, method="inclusive")[round(share * 1000) - 1]

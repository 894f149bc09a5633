"""One worker on a virtual clock: traffic through a policy, a forward taking what its cost says."""

from __future__ import annotations

import heapq
import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from bench.policies import Policy, Text
from bench.traffic import Traffic
from service.engine.forward_cost import ForwardCost, rows_read
from service.engine.queue import Group

WARM_UP = 0.1  # this share of the texts, the first, isn't counted in latencies


@dataclass(frozen=True, slots=True)
class Answered:
    """A text that ran.

    Attributes:
        length: in tokens.
        seconds: from sent to the end of its forward.
    """

    length: int
    seconds: float


@dataclass(slots=True)
class Outcome:
    """What a replay did.

    Attributes:
        answered: the texts that count in latencies.
        seconds: until the last answer.
        batches: of it.
        rows: texts, those of the warm-up included.
        tokens: real ones.
        padded_tokens: these and the padding.
    """

    answered: list[Answered] = field(default_factory=list)
    seconds: float = 0.0
    batches: int = 0
    rows: int = 0
    tokens: int = 0
    padded_tokens: int = 0


def replay(
    policy: Policy,
    traffic: Traffic,
    lengths: Sequence[int],
    cost: ForwardCost,
    group: Group,
    seed: int,
) -> Outcome:
    """Sends texts of these lengths, in this order, until all are answered."""
    outcome = Outcome()
    sends = sorted(traffic.begin(len(lengths), random.Random(seed)))
    coming = sends  # a heap
    unsent = len(lengths) - len(sends)
    counted_from = int(WARM_UP * len(lengths))
    sent = 0
    now = 0.0
    while outcome.rows < len(lengths):
        while coming and coming[0] <= now:
            policy.add(Text(sent, group, lengths[sent], heapq.heappop(coming)))
            sent += 1
        batch = policy.take(now)
        if not batch:
            now = min([policy.wakes(now), *coming[:1]])
            continue
        ran = [text.length for text in batch]
        now += cost.of(ran)
        outcome.batches += 1
        outcome.rows += len(batch)
        outcome.tokens += sum(ran)
        outcome.padded_tokens += sum(rows_read(ran, cost.padded))
        for text in batch:
            if text.number >= counted_from:
                outcome.answered.append(Answered(text.length, now - text.sent))
            again = traffic.answered(now)
            if again is not None and unsent:
                unsent -= 1
                heapq.heappush(coming, again)
    outcome.seconds = now
    return outcome

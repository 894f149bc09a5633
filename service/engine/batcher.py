"""Which waiting windows make the next batch, and which give way: pure functions of what waits.

Two questions. **Who goes first**: the shortest of those that a batch of much longer ones has held
back, so that nobody is held back twice; where there is none, the oldest. The oldest of all is
passed over ``PATIENCE`` times in a row at most, so nobody waits behind an unbounded stream.

**Who rides along**: windows next to it in length, so many that the forward is efficient and no
more. How many that is follows from what forwards were measured to cost here: two long texts where
a Transformer keeps a CPU busy, dozens where a recurrence walks, hundreds on a GPU. Where padding
costs nothing, length tells only who would be slowed down: the oldest ride.
"""

from __future__ import annotations

import heapq
import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from service.engine.forward_cost import ForwardCost, Key
from service.engine.queue import Group, Line, Place, Queue, W

PATIENCE = 8  # batches: more favours short texts, less the oldest
# A batch holds back what waits when it ends, in a bucket of at most a fourth of its first window's.
# With a half, middling reviews went before long ones again and again: p99 grew by a third or more.
HELD_BACK = 4
# A batch is large enough where this share of it would be spent however few rows rode. A twentieth
# gave half of the texts their answers in three fourths of the time, the last 1% in a tenth more,
# and all of them a fiftieth less throughput.
FIXED_SHARE = 0.04
# Where so many wait that most are many batches away, a larger one keeps nobody waiting: it may grow
# until this share is left, to one part in ``DEEP`` of those in line.
LEAST_FIXED_SHARE = 0.02
DEEP = 8
# A window of a higher bucket rides along where, alone, it (where padding costs nothing, the longest
# that its bucket holds) would take this many times as long as the first one at most.
SLOWER = 2.0
MOST_TRIED = 64  # windows that might be the longest of a batch: on a GPU there may be thousands
# Of a forward that nobody measured, in units of a token's: what a small Transformer was seen to do.
TYPICAL_COST = ForwardCost(start=50.0, step=0.0, token=1.0)


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """Bounds of a batch.

    Attributes:
        padded_tokens: most tokens, padding included; a longer window rides alone.
        costs: of a forward, by model and schedule; only their proportions count.
        fixed_share: see ``FIXED_SHARE``.
    """

    padded_tokens: int
    costs: Mapping[Key, ForwardCost] = field(default_factory=dict)
    fixed_share: float = FIXED_SHARE

    def cost(self, group: Group) -> ForwardCost:
        """Of a forward of that group."""
        return self.costs.get((group.model, group.schedule), TYPICAL_COST)

    def rows(self, cost: ForwardCost, length: int, waiting: int) -> int:
        """Most rows of a batch of rows of ``length``, of so many ``waiting`` in line."""
        most = self.padded_tokens // length
        if cost.row(length):
            enough = _rows_until(self.fixed_share, cost, length)
            deep = min(waiting // DEEP, _rows_until(LEAST_FIXED_SHARE, cost, length))
            most = min(most, max(enough, deep))
        return max(1, most)


@dataclass(frozen=True, slots=True)
class Past:
    """What the policy remembers of the batches before.

    Attributes:
        bucket: of the window that went first in the last batch.
        gates: by bucket, how many windows had come when a batch that holds it back last ended.
        passed_over: batches in a row that went without the oldest window.
    """

    bucket: int = 0
    gates: Mapping[int, int] = field(default_factory=dict)
    passed_over: int = 0


def next_batch(queue: Queue[W], limits: BatchLimits, past: Past) -> tuple[list[Place[W]], Past]:
    """The windows to run together now, by length, and what to remember of it.

    Everything that waits is looked at now: an idle worker never waits for a batch to fill.

    Args:
        queue: what waits, one window at least; it isn't changed.
        limits: of the batch.
        past: as returned for the batch before, which has ended.
    """
    heads = list(queue.oldest_of_each())
    gates = dict(past.gates)
    for place in heads:
        if HELD_BACK * place.bucket <= past.bucket:
            gates[place.bucket] = queue.arrivals
    oldest = min(heads, key=_age)
    owed = [place for place in heads if place.number < gates.get(place.bucket, 0)]
    first = oldest
    if owed and past.passed_over < PATIENCE:
        first = min(owed, key=lambda place: (place.bucket, place.number))
    group = first.window.group
    alone = len(queue) == 1
    cost = limits.cost(group)
    riders = _nearest if cost.padded else _oldest
    batch = [first] if alone else riders(queue.lines[group], first, limits, cost)
    passed_over = 0 if oldest in batch else past.passed_over + 1
    return batch, Past(first.bucket, gates, passed_over)


def giving_way(queue: Queue[W]) -> list[Place[W]]:
    """The shadows that must go because somebody waits for an answer.

    A shadow runs at once on a worker that nobody else wants, or not at all: it is never queued, so
    it can delay a client by the one forward that had begun before the client came.
    """
    shadows = [line for group, line in queue.lines.items() if group.traffic == "shadow"]
    if len(shadows) == len(queue.lines):
        return []
    return [place for line in shadows for place in line.places]


def _nearest(
    line: Line[W], first: Place[W], limits: BatchLimits, cost: ForwardCost
) -> list[Place[W]]:
    """``first`` and those next to it in length that make the forward most worth its time."""
    at = line.position(first)
    waiting = len(line.places)
    rows = limits.rows(cost, first.length, waiting)
    low, high = max(0, at - rows + 1), at + rows
    near = line.places[low:high]
    at -= low
    lengths = [place.length for place in near]
    # A row is worth what it would cost in a batch of its like: left behind, it goes in another.
    start_share = cost.fixed(first.length) / min(rows, waiting)
    worth = [0.0, *accumulate(cost.row(length) + start_share for length in lengths)]
    slowest = SLOWER * cost.seconds(1, first.length)
    best, start, stop = 0.0, at, at + 1
    for top in range(at, len(near), max(1, (len(near) - at) // MOST_TRIED)):
        longest = lengths[top]
        if longest > first.bucket and cost.seconds(1, longest) > slowest:
            break
        lowest = max(0, top + 1 - limits.rows(cost, longest, waiting))
        if lowest > at:
            break
        bottom = _bottom(range(lowest, at), top, worth, cost.fixed(longest), cost.row(longest))
        speed = (worth[top + 1] - worth[bottom]) / cost.seconds(top + 1 - bottom, longest)
        if speed > best:
            best, start, stop = speed, bottom, top + 1
    return near[start:stop]


def _oldest(
    line: Line[W], first: Place[W], limits: BatchLimits, cost: ForwardCost
) -> list[Place[W]]:
    """``first`` and the oldest others that don't slow it down, until the forward is efficient."""
    most = cost.row(first.length) * limits.rows(cost, first.length, len(line.places))
    slowest = SLOWER * cost.seconds(1, first.length)
    able = [
        ages
        for bucket, ages in line.ages.items()
        if bucket <= first.bucket or cost.seconds(1, bucket) <= slowest
    ]
    batch, spent, longest = [first], cost.row(first.length), first.length
    for place in heapq.merge(*able, key=_age):
        if place is first or not place.waits:
            continue
        spent += cost.row(place.length)
        longest = max(longest, place.length)
        if spent > most or (len(batch) + 1) * longest > limits.padded_tokens:
            break
        batch.append(place)
    return sorted(batch, key=_length)


def _bottom(choices: range, top: int, worth: Sequence[float], fixed: float, row: float) -> int:
    """The shortest of ``choices`` that is worth riding in a batch up to ``top``.

    It is where it adds as much worth a second as those above it have together; so is then any
    that is longer.
    """

    def pays(index: int) -> bool:
        above = worth[top + 1] - worth[index + 1]
        return (worth[index + 1] - worth[index]) * (fixed + (top - index) * row) >= above * row

    return choices.start + bisect_left(choices, True, key=pays)


def _rows_until(share: float, cost: ForwardCost, length: int) -> int:
    """How many rows ride until no more than this share of the forward is spent however few ride."""
    return math.ceil((1 - share) / share * cost.fixed(length) / cost.row(length))


def _age(place: Place[W]) -> int:
    return place.number


def _length(place: Place[W]) -> int:
    return place.length

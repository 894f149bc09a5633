"""The batching policy, as the pure function it is."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import takewhile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.engine.batcher import (
    HELD_BACK,
    PATIENCE,
    TYPICAL_COST,
    BatchLimits,
    Past,
    giving_way,
    next_batch,
)
from service.engine.forward_cost import ForwardCost
from service.engine.queue import Place, Queue, length_bucket
from tests.service.engine.waiting import Window, queue_of

LIMITS = BatchLimits(padded_tokens=64)
# Of a model that pays for each step, of a device on which a row costs next to nothing, and of one
# on which it costs nearly all.
RECURRENCE = ForwardCost(start=1.0, step=0.5, token=0.1)
LAUNCH_BOUND = ForwardCost(start=1000.0, step=0.0, token=0.01)
ATTENTION = ForwardCost(start=20.0, step=0.0, token=1.0, pair=0.001)
UNPADDED = replace(ATTENTION, padded=False)

windows = st.lists(
    st.builds(
        Window,
        length=st.integers(1, 200),
        model=st.sampled_from(["lstm", "transformer"]),
        schedule=st.sampled_from([None, "serial"]),
        traffic=st.sampled_from(["client", "compare"]),
    ),
    min_size=1,
    max_size=40,
)
costs = st.sampled_from([RECURRENCE, LAUNCH_BOUND, ATTENTION, UNPADDED])


def limits_of(cost: ForwardCost, padded_tokens: int = 1024) -> BatchLimits:
    return BatchLimits(padded_tokens, {("lstm", None): cost})


def lengths_of(places: list[Place[Window]]) -> list[int]:
    return [place.length for place in places]


def first_batch(*lengths: int, limits: BatchLimits = LIMITS) -> list[int]:
    """Lengths of the batch where windows of these came in this order."""
    batch, _ = next_batch(queue_of(map(Window, lengths)), limits, Past())
    return lengths_of(batch)


@dataclass
class Worker:
    """Runs batch after batch; ``came`` tells what comes while each runs."""

    limits: BatchLimits
    queue: Queue[Window] = field(default_factory=Queue)
    past: Past = field(default_factory=Past)

    def run(self, came: Callable[[], list[int]]) -> Iterator[list[Place[Window]]]:
        while self.queue:
            batch, self.past = next_batch(self.queue, self.limits, self.past)
            self.queue.remove(batch)
            for length in came():
                self.queue.add(Window(length))
            yield batch


def test_batch_joins_windows_of_like_length() -> None:
    assert first_batch(10, 100, 12) == [10, 12]


def test_batch_keeps_models_schedules_and_purposes_apart() -> None:
    others = [Window(9, "transformer"), Window(9, schedule="serial"), Window(9, traffic="shadow")]
    batch, _ = next_batch(queue_of([Window(9), *others, Window(9)]), LIMITS, Past())
    assert [place.number for place in batch] == [0, 4]


def test_batch_counts_padding_against_its_limit() -> None:
    assert first_batch(*[16] * 11) == [16] * 4
    assert first_batch(16, *[15] * 10) == [15, 15, 15, 16]


def test_window_past_the_limit_rides_alone() -> None:
    assert first_batch(5000, 5000) == [5000]


def test_batch_stops_growing_where_more_rows_gain_nothing() -> None:
    limits = limits_of(ATTENTION, padded_tokens=100_000)
    rows = limits.rows(ATTENTION, 100, 1)
    assert len(first_batch(*[100] * 30, limits=limits)) == rows < 10
    assert ATTENTION.fixed(100) <= 0.05 * ATTENTION.seconds(rows, 100)


def test_batch_grows_further_where_many_more_wait_than_ride() -> None:
    limits = limits_of(ATTENTION, padded_tokens=100_000)
    usual = limits.rows(ATTENTION, 100, 1)
    for waiting, rows in ((8 * usual, usual), (8 * usual + 8, usual + 1), (2000, 9)):
        assert len(first_batch(*[100] * waiting, limits=limits)) == rows
    assert ATTENTION.fixed(100) <= 0.02 * ATTENTION.seconds(9, 100)


def test_recurrence_takes_more_rows_than_attention() -> None:
    batches = [
        first_batch(*[200] * 30, limits=limits_of(cost, 4000)) for cost in (RECURRENCE, ATTENTION)
    ]
    assert len(batches[0]) > 4 * len(batches[1])


def test_all_ride_together_where_a_row_costs_next_to_nothing() -> None:
    lengths = [10, 200, 30, 60, 120]
    assert first_batch(*lengths, limits=limits_of(LAUNCH_BOUND, 4000)) == sorted(lengths)


def test_no_long_window_slows_a_short_one_down_by_riding_along() -> None:
    limits = limits_of(ATTENTION)
    assert first_batch(10, 200, 12, limits=limits) == [10, 12]
    assert first_batch(10, 38, limits=limits) == [10, 38]
    assert first_batch(10, 40, limits=limits) == [10], "more than twice as long as alone"


def test_short_windows_do_not_ride_where_padding_costs_more_than_a_batch_of_their_own() -> None:
    assert first_batch(100, 5, 6, limits=limits_of(ATTENTION)) == [100]
    assert first_batch(100, 5, 6, limits=limits_of(LAUNCH_BOUND)) == [5, 6, 100]


def test_oldest_ride_where_padding_costs_nothing() -> None:
    limits = limits_of(UNPADDED, 100_000)
    queue = queue_of(map(Window, [60, 5, *[33, 62, 17] * 20]))
    batch, _ = next_batch(queue, limits, Past())
    assert {place.number for place in batch} == set(range(len(batch)))
    read = sum(UNPADDED.row(place.length) for place in batch)
    most = limits.rows(UNPADDED, 60, len(queue)) * UNPADDED.row(60)
    assert most - UNPADDED.row(62) < read <= most


def test_no_long_window_rides_with_a_short_one_where_padding_costs_nothing() -> None:
    limits = limits_of(UNPADDED)
    assert first_batch(10, 200, 12, limits=limits) == [10, 12]
    assert first_batch(10, 33, 64, 12, limits=limits) == [10, 12], "twice as long as alone"
    assert first_batch(40, 200, 64, 12, 3, limits=limits) == [3, 12, 40, 64]
    assert first_batch(200, 40, 100, limits=limits) == [40, 100, 200]


def test_short_one_goes_next_after_a_long_one() -> None:
    worker = Worker(LIMITS)
    for length in (300, 301, 302):
        worker.queue.add(Window(length))
    coming = iter([[10], [], [], []])
    batches = [lengths_of(batch) for batch in worker.run(lambda: next(coming))]
    assert batches == [[300], [10], [301], [302]]


def test_long_one_goes_next_after_the_short_ones_it_held_back() -> None:
    worker = Worker(LIMITS)
    for length in (300, 301):
        worker.queue.add(Window(length))
    coming = iter([[10], [11], [], []])  # 11 comes too late to be held back
    batches = [lengths_of(batch) for batch in worker.run(lambda: next(coming))]
    assert batches == [[300], [10], [301], [11]]


@given(windows, st.integers(16, 500), costs)
def test_batch_holds_its_invariants(
    waiting: list[Window], padded_tokens: int, cost: ForwardCost
) -> None:
    limits = BatchLimits(padded_tokens, {("lstm", None): cost})
    queue = queue_of(waiting)
    batch, past = next_batch(queue, limits, Past())
    assert batch, "an idle worker starts at once"
    assert (batch, past) == next_batch(queue, limits, Past()), "it is a pure function"
    assert len({place.window.group for place in batch}) == 1
    longest = batch[-1].length
    assert lengths_of(batch) == sorted(lengths_of(batch))
    assert len(batch) == 1 or len(batch) * longest <= padded_tokens
    of_group = limits.cost(batch[0].window.group)
    if of_group.padded:
        assert len(batch) <= limits.rows(of_group, longest, len(waiting))
    assert any(place.number == 0 for place in batch), "nobody was held back: the oldest goes"


@given(windows)
def test_every_window_runs_once(waiting: list[Window]) -> None:
    worker = Worker(LIMITS, queue_of(waiting))
    ran = [place.number for batch in worker.run(list) for place in batch]
    assert sorted(ran) == list(range(len(waiting)))


streams = st.lists(st.lists(st.integers(1, 300), max_size=8), min_size=1, max_size=60)


@given(streams, costs)
def test_oldest_is_passed_over_a_bounded_number_of_times(
    stream: list[list[int]], cost: ForwardCost
) -> None:
    coming = iter(stream[1:])
    worker = Worker(limits_of(cost, 300), queue_of(map(Window, stream[0])))
    waiting = set(range(len(stream[0])))
    passed_over = 0
    for batch in worker.run(lambda: next(coming, [])):
        ran = {place.number for place in batch}
        passed_over = 0 if min(waiting) in ran else passed_over + 1
        assert passed_over <= PATIENCE
        waiting = (waiting | set(range(worker.queue.arrivals))) - ran
        waiting = {place.number for line in worker.queue.lines.values() for place in line.places}


def test_stream_of_short_ones_does_not_starve_a_long_one() -> None:
    worker = Worker(LIMITS, queue_of(map(Window, [300, *[10] * 50])))
    worker.past = Past(bucket=512)  # they were all held back
    before = takewhile(lambda batch: batch[0].length != 300, worker.run(lambda: [10] * 20))
    assert len(list(before)) == PATIENCE


@given(streams, costs)
def test_short_one_is_held_back_by_one_longer_batch_at_most(
    stream: list[list[int]], cost: ForwardCost
) -> None:
    coming = iter(stream[1:])
    worker = Worker(limits_of(cost, 300), queue_of(map(Window, stream[0])))
    held_back: dict[int, int] = {}  # by number, the longer batches since it came or that ran then
    patient = True
    for batch in worker.run(lambda: next(coming, [])):
        for place in batch:
            assert held_back.pop(place.number, 0) <= 1
        for line in worker.queue.lines.values():
            for place in line.places:
                longer = HELD_BACK * place.bucket <= worker.past.bucket
                # What goes because its patience is at an end isn't held against anybody.
                held_back[place.number] = held_back.get(place.number, 0) + (longer and patient)
        patient = worker.past.passed_over < PATIENCE


def test_busy_worker_makes_batches_by_itself() -> None:
    worker = Worker(BatchLimits(padded_tokens=640), queue_of([Window(16)]))
    coming = iter([[16] * 7, [16] * 20])
    sizes = [len(batch) for batch in worker.run(lambda: next(coming, []))]
    assert sizes == [1, 7, 20]


def test_shadows_give_way_to_anybody_who_waits_for_an_answer() -> None:
    shadow = Window(9, traffic="shadow")
    for traffic in ("client", "compare"):
        other = Window(90, "transformer", traffic=traffic)
        gone = giving_way(queue_of([shadow, other, shadow]))
        assert [place.number for place in gone] == [0, 2]
    assert giving_way(queue_of([shadow, shadow])) == []
    assert giving_way(queue_of([])) == []


@pytest.mark.parametrize("cost", [TYPICAL_COST, replace(TYPICAL_COST, padded=False)])
@pytest.mark.parametrize("waiting", [1_000, 10_000])
def test_choice_looks_at_few_of_many(
    waiting: int, cost: ForwardCost, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = random.Random(0)
    queue = queue_of(Window(generator.randint(3, 384)) for _ in range(waiting))
    looked = 0
    seconds = ForwardCost.row

    def counted(cost: ForwardCost, length: int) -> float:
        nonlocal looked
        looked += 1
        return seconds(cost, length)

    monkeypatch.setattr(ForwardCost, "row", counted)
    next_batch(queue, limits_of(cost, 4096), Past())
    assert 0 < looked < 1_000
    assert len({length_bucket(place.length) for place in queue.oldest_of_each()}) == 6

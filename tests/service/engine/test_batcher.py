"""The batching policy, as the pure function it is."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from service.engine.batcher import BatchLimits, giving_way, length_bucket, next_batch
from service.engine.wire import Traffic


@dataclass(frozen=True)
class Window:
    model: str
    length: int
    schedule: str | None = None
    traffic: Traffic = "client"


LIMITS = BatchLimits(padded_tokens=64)

windows = st.lists(
    st.builds(
        Window,
        model=st.sampled_from(["lstm", "transformer"]),
        length=st.integers(1, 200),
        schedule=st.sampled_from([None, "serial"]),
        traffic=st.sampled_from(["client", "compare", "shadow"]),
    ),
    min_size=1,
    max_size=40,
)


def test_bucket_doubles_from_sixteen() -> None:
    lengths = [1, 16, 17, 32, 33, 512, 513]
    assert [length_bucket(length) for length in lengths] == [16, 16, 32, 32, 64, 512, 1024]


def test_batch_joins_windows_of_one_bucket() -> None:
    waiting = [Window("lstm", 10), Window("lstm", 40), Window("lstm", 12)]
    assert next_batch(waiting, LIMITS) == [0, 2]


def test_batch_keeps_models_and_schedules_apart() -> None:
    waiting = [Window("lstm", 10), Window("transformer", 10), Window("lstm", 10, "serial")]
    assert next_batch(waiting, LIMITS) == [0]


def test_batch_counts_padding_against_its_limit() -> None:
    waiting = [Window("lstm", 1), *[Window("lstm", 16)] * 10]
    assert next_batch(waiting, LIMITS) == [0, 1, 2, 3]


def test_window_past_the_limit_rides_alone() -> None:
    assert next_batch([Window("lstm", 5000), Window("lstm", 5000)], LIMITS) == [0]


@given(windows)
def test_batch_holds_its_invariants(waiting: list[Window]) -> None:
    chosen = next_batch(waiting, LIMITS)
    batch = [waiting[position] for position in chosen]
    assert chosen[0] == 0
    assert chosen == sorted(set(chosen))
    assert len({(w.model, w.schedule, length_bucket(w.length)) for w in batch}) == 1
    padded = len(batch) * max(w.length for w in batch)
    assert len(batch) == 1 or padded <= LIMITS.padded_tokens


@given(windows)
def test_every_window_is_taken_in_the_end(waiting: list[Window]) -> None:
    left = list(enumerate(waiting))
    taken: list[int] = []
    while left:
        chosen = set(next_batch([window for _, window in left], LIMITS))
        taken += [left[position][0] for position in chosen]
        left = [entry for position, entry in enumerate(left) if position not in chosen]
    assert sorted(taken) == list(range(len(waiting)))


def test_batch_keeps_clients_and_shadows_apart() -> None:
    waiting = [Window("lstm", 9), Window("lstm", 9, traffic="shadow"), Window("lstm", 9)]
    assert next_batch(waiting, LIMITS) == [0, 2]


def test_shadows_give_way_to_anybody_who_waits_for_an_answer() -> None:
    shadow = Window("lstm", 9, traffic="shadow")
    for traffic in ("client", "compare"):
        other = Window("transformer", 90, traffic=traffic)
        assert giving_way([shadow, other, shadow]) == [0, 2]
    assert giving_way([shadow, shadow]) == []
    assert giving_way([]) == []


@given(windows)
def test_no_shadow_ever_runs_before_a_client(waiting: list[Window]) -> None:
    gone = giving_way(waiting)
    left = [window for at, window in enumerate(waiting) if at not in gone]
    assert {window.traffic for window in left} in (
        {"shadow"},
        {w.traffic for w in left} - {"shadow"},
    )
    assert [w for w in waiting if w.traffic != "shadow"] == [
        w for w in left if w.traffic != "shadow"
    ]

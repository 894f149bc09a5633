"""The two orders in which windows wait, and how they leave."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from service.engine import queue as module
from service.engine.queue import Queue, length_bucket
from tests.service.engine.waiting import Window, queue_of

lengths = st.lists(st.integers(1, 100), max_size=30)


def test_bucket_doubles_from_sixteen() -> None:
    found = [length_bucket(length) for length in (1, 16, 17, 32, 33, 512, 513)]
    assert found == [16, 16, 32, 32, 64, 512, 1024]


@given(lengths, st.data())
def test_orders_hold_whatever_leaves(lengths: list[int], data: st.DataObject) -> None:
    queue: Queue[Window] = Queue()
    places = [queue.add(Window(length)) for length in lengths]
    leaving = data.draw(st.lists(st.sampled_from(places)) if places else st.just([]))
    queue.remove(leaving)
    left = [place for place in places if place not in leaving]
    assert len(queue) == len(left)
    for line in queue.lines.values():
        assert line.places == sorted(left, key=lambda place: (place.length, place.number))
        assert [line.position(place) for place in line.places] == list(range(len(left)))
    oldest: dict[int, int] = {}
    for place in left:
        oldest.setdefault(place.bucket, place.number)
    assert {place.bucket: place.number for place in queue.oldest_of_each()} == oldest


def test_lines_are_of_one_model_schedule_and_traffic() -> None:
    windows = [
        Window(9),
        Window(9, "gru"),
        Window(9, schedule="serial"),
        Window(9, traffic="shadow"),
    ]
    assert len(queue_of(windows).lines) == len(windows)


def test_removed_twice_leaves_once() -> None:
    queue = queue_of([Window(9), Window(9)])
    place = next(queue.oldest_of_each())
    queue.remove([place])
    queue.remove([place])
    assert len(queue) == 1


def test_late_are_those_whose_deadline_has_passed_and_who_wait() -> None:
    queue: Queue[Window] = Queue()
    first, second, _ = (queue.add(Window(9, deadline=at)) for at in (2.0, 1.0, 3.0))
    queue.remove([first])
    assert queue.late(1.0) == []
    assert queue.late(2.5) == [second]


def test_deadlines_of_those_who_left_are_forgotten() -> None:
    queue: Queue[Window] = Queue()
    for _ in range(3 * module.FEWEST_DEADLINES):
        queue.remove([queue.add(Window(9, deadline=1e9))])
    assert len(queue._deadlines) <= module.FEWEST_DEADLINES
    kept = queue.add(Window(9, deadline=1.0))
    assert queue.late(2.0) == [kept]

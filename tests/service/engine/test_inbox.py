"""What a worker holds: joined answers, deadlines, cancellations, failures."""

from __future__ import annotations

import gc

import msgspec

from service.engine.batcher import BatchLimits
from service.engine.forward_cost import Observations
from service.engine.inbox import FIRST_FITS, Inbox, WaitingWindow
from service.engine.wire import Answer, Cancel, Failure, FromAPI, FromWorker, Ride, Work, pack
from service.observe.timing import now

API = object()  # a connection
FAR = 1e12


class Sent(list[FromWorker]):
    """What a connection was sent."""


def inbox_with(*messages: FromAPI) -> tuple[Inbox, Sent]:
    inbox, sent = Inbox(BatchLimits(padded_tokens=64)), Sent()
    inbox.put(API, list(messages), sent.append)
    return inbox, sent


def work(work_id: int, *lengths: int, deadline: float = FAR, model: str = "lstm") -> Work:
    return Work(work_id, model, None, [pack([1] * length) for length in lengths], deadline)


def finish(inbox: Inbox, batch: list[WaitingWindow], at: float = 1.0) -> None:
    longest = max(window.length for window in batch)
    ride = Ride(0.5, len(batch), longest, longest * len(batch))
    logits = [[float(window.index)] for window in batch]
    depths = [2 * window.length for window in batch]
    inbox.finish(batch, logits, ride, 0.25, depths, at)


def test_batch_joins_two_requests_and_answers_both() -> None:
    inbox, sent = inbox_with(work(1, 4), work(2, 5))
    finish(inbox, inbox.take())
    assert sent == [
        Answer(1, [[0.0]], 0.25, 1.0, [Ride(0.5, 2, 5, 10)], 8),
        Answer(2, [[0.0]], 0.25, 1.0, [Ride(0.5, 2, 5, 10)], 10),
    ]


def test_request_over_several_batches_is_answered_once_and_joined() -> None:
    inbox, sent = inbox_with(work(1, 4, 40, 5))
    finish(inbox, inbox.take(), at=1.0)
    assert not sent
    finish(inbox, inbox.take(), at=2.0)
    rides = [Ride(0.5, 2, 5, 10), Ride(0.5, 1, 40, 40)]
    assert sent == [Answer(1, [[0.0], [1.0], [2.0]], 0.5, 2.0, rides, 80)]
    assert inbox.take() == []


def test_nobody_was_held_back_by_a_batch_that_ended_before_they_came() -> None:
    inbox, sent = inbox_with(work(1, 300))
    inbox.take()
    assert inbox.take() == []
    inbox.put(API, [work(2, 301, 5)], sent.append)
    assert [window.length for window in inbox.take()] == [301]


def test_short_window_that_came_during_a_long_batch_goes_next() -> None:
    inbox, sent = inbox_with(work(1, 300, 301))
    inbox.take()
    inbox.put(API, [work(2, 5)], sent.append)
    lengths = [[window.length for window in inbox.take()] for _ in range(2)]
    assert lengths == [[5], [301]]


def test_request_past_its_deadline_is_never_computed() -> None:
    inbox, sent = inbox_with(work(1, 4, 40, deadline=now() - 1))
    assert inbox.take() == []
    assert [(m.id, m.reason) for m in sent if isinstance(m, Failure)] == [(1, "deadline")]


def test_cancelled_request_is_never_computed_nor_answered() -> None:
    inbox, sent = inbox_with(work(1, 4), work(2, 4), Cancel(1))
    batch = inbox.take()
    assert [window.pending.work.id for window in batch] == [2]
    assert not sent


def test_gone_connection_is_forgotten() -> None:
    inbox, sent = inbox_with(work(1, 4))
    inbox.forget(API)
    assert inbox.take() == []
    assert not sent


def test_failed_window_fails_its_request_once() -> None:
    inbox, sent = inbox_with(work(1, 4, 5))
    batch = inbox.take()
    inbox.fail(batch[0], "internal", "why")
    inbox.fail(batch[1], "internal", "why")
    assert sent == [Failure(1, "internal", "why")]


def test_ids_of_two_connections_do_not_meet() -> None:
    inbox, sent = inbox_with(work(1, 4))
    others = Sent()
    inbox.put(object(), [work(1, 5)], others.append)
    finish(inbox, inbox.take())
    assert len(sent) == len(others) == 1


def test_shadow_that_waits_when_a_client_comes_gives_way() -> None:
    shadow = msgspec.structs.replace(work(1, 4, 5), traffic="shadow")
    inbox, sent = inbox_with(shadow, work(2, 6))
    assert [window.group.traffic for window in inbox.take()] == ["client"]
    assert [(failure.id, failure.reason) for failure in sent] == [(1, "gave_way")]  # type: ignore[union-attr]
    assert inbox.take() == []


def test_shadow_runs_where_nobody_waits() -> None:
    shadow = msgspec.structs.replace(work(1, 4), traffic="shadow")
    inbox, sent = inbox_with(shadow)
    finish(inbox, inbox.take())
    assert [type(message) for message in sent] == [Answer]


def test_waiting_counts_clients_windows_that_are_still_wanted() -> None:
    shadow = msgspec.structs.replace(work(3, 4), traffic="shadow")
    inbox, _ = inbox_with(work(1, 4, 40), work(2, 5), shadow, Cancel(2))
    assert inbox.waiting() == {"lstm": 2}
    inbox.take()
    assert inbox.waiting() == {"lstm": 1}


def test_batches_grow_where_a_row_turns_out_to_cost_little() -> None:
    inbox = Inbox(BatchLimits(padded_tokens=100_000))
    sizes = [batch_size(inbox, number, "lstm") for number in range(2 * FIRST_FITS[0])]
    assert sizes[0] == sizes[FIRST_FITS[0] - 1] < 10
    assert sizes[-1] == 40


def test_what_a_whole_batch_cost_is_its_turn() -> None:
    """One that failed ran in halves, and what they took beside their forwards is no other's."""
    told: list[float] = []
    observations = Observations()
    observations.add = lambda key, lengths, seconds: told.append(seconds)  # type: ignore[method-assign]
    inbox = Inbox(BatchLimits(padded_tokens=100_000), observations)
    for rows in (2, 3):
        inbox.put(API, [work(1, 4, 5)], lambda message: None)
        batch = inbox.take()
        inbox.finish(batch, [[0.0]] * 2, Ride(1.0, 2, 5, 9), 0.25, [1, 1], 1.0)
        inbox.learn(rows, turn_seconds=4.0)
    assert told == [4.0, 1.25]


def test_models_that_take_turns_are_all_fitted() -> None:
    inbox = Inbox(BatchLimits(padded_tokens=100_000))
    for number in range(2 * FIRST_FITS[0]):
        last = [batch_size(inbox, number, model) for model in ("lstm", "gru", "rnn", "cnn")]
    assert last == [40] * 4


def batch_size(inbox: Inbox, number: int, model: str) -> int:
    """Of one batch, which forty windows wait for and in which a row costs next to nothing."""
    inbox.put(API, [work(number, *[200] * 40, model=model)], lambda message: None)
    batch = inbox.take()
    ride = Ride(1.0 + 0.001 * len(batch), len(batch), 200, 200 * len(batch))
    inbox.finish(batch, [[0.0]] * len(batch), ride, 0.0, [1] * len(batch), 1.0)
    inbox.learn(len(batch), ride.forward_seconds)
    inbox.forget(API)
    return len(batch)


def test_answered_requests_leave_nothing_to_the_garbage_collector() -> None:
    gc.collect()
    gc.disable()
    try:
        inbox, sent = inbox_with(work(1, 4, 40), work(2, 5))
        for _ in range(2):
            finish(inbox, inbox.take())
        assert len(sent) == 2
        del inbox, sent
        assert gc.collect() == 0  # all of it went as soon as nobody held it
    finally:
        gc.enable()

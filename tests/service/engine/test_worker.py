"""What a worker does with a batch that fails."""

from __future__ import annotations

import math
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import pytest
import torch

from models.predict import Padded
from service.engine import choices
from service.engine.activity import Activity
from service.engine.batcher import BatchLimits
from service.engine.compute import BatchResult, Compute
from service.engine.decisions import Notes
from service.engine.heartbeat import Heartbeat
from service.engine.inbox import Inbox
from service.engine.loading import load
from service.engine.options import WorkerOptions
from service.engine.wire import Answer, BatchFacts, Failure, FromWorker, Work, pack
from service.engine.worker import WorkerAPI, run_batch
from tests.small import write_model

BAD = 7  # a token that no forward survives
FAR = 1e12


@pytest.fixture
def compute(weights: Path) -> Compute:
    write_model(weights, "lstm", architecture="lstm")
    return Compute(weights, ["lstm"], "cpu", "float32", torch.get_num_threads())


class Forwards(list[int]):
    """How many windows each forward had."""


def failing(
    compute: Compute,
    monkeypatch: pytest.MonkeyPatch,
    fails: Callable[[Sequence[Sequence[int]]], Exception | None],
) -> Forwards:
    """Every forward is noted; one that ``fails`` has an error for raises it."""
    forwards, whole = Forwards(), compute.run

    def run(model: str, schedule: str | None, windows: Sequence[Sequence[int]]) -> BatchResult:
        forwards.append(len(windows))
        if error := fails(windows):
            raise error
        return whole(model, schedule, windows)

    monkeypatch.setattr(compute, "run", run)
    return forwards


def test_signal_ends_a_worker_that_is_loading_at_once() -> None:
    worker = WorkerAPI(cast(WorkerOptions, None))
    with pytest.raises(SystemExit):
        worker._stop(signal.SIGTERM, None)
    worker.inbox = Inbox(BatchLimits(padded_tokens=64))
    worker._stop(signal.SIGTERM, None)  # the loop ends it, when nobody is connected
    assert worker.stopping


def test_worker_that_loads_beside_another_leaves_it_its_share(
    compute: Compute, weights: Path, tmp_path: Path, threads: int
) -> None:
    sockets = tmp_path / "run"
    sockets.mkdir()
    options = WorkerOptions(
        weights=weights,
        models=("lstm",),
        dtype="float32",
        worker=1,
        workers=2,
        threads=2,
        fewer_threads=True,
        max_batch_tokens=None,
        sockets=sockets,
        log_level="info",
        log_format="json",
    )
    activity = Activity(sockets, 2)
    Notes(sockets, "cpu").leave(compute.decisions)
    load(options, "cpu")
    assert activity.computing(1)
    assert not activity.computing(0)


def answers(compute: Compute, requests: int, bad: int | None = None) -> dict[int, FromWorker]:
    """What is answered to each of so many requests of one window, which ride in one batch."""
    sent: list[Any] = []
    inbox = Inbox(BatchLimits(padded_tokens=100_000, fixed_share=1e-6))
    works = [
        Work(number, "lstm", None, [pack([2, BAD if number == bad else 5 + number % 2, 3])], FAR)
        for number in range(requests)
    ]
    inbox.put(object(), list(works), sent.append)
    batch = inbox.take()
    assert len(batch) == requests
    run_batch(compute, inbox, batch, Heartbeat())
    return {message.id: message for message in sent if not isinstance(message, BatchFacts)}


def test_bad_window_fails_alone_in_a_few_forwards(
    compute: Compute, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = answers(compute, 16)
    forwards = failing(
        compute, monkeypatch, lambda w: ValueError("bad") if any(BAD in one for one in w) else None
    )
    got = answers(compute, 16, bad=11)
    assert got.pop(11) == Failure(11, "internal", "ValueError('bad')")
    for number, answer in got.items():
        whole = good[number]
        assert isinstance(answer, Answer)
        assert isinstance(whole, Answer)
        torch.testing.assert_close(torch.tensor(answer.logits), torch.tensor(whole.logits))
    # Two forwards a level: the half that fails, and the half that doesn't.
    assert sorted(forwards) == [1, 1, 2, 2, 4, 4, 8, 8, 16]


def test_batch_that_is_too_large_for_the_memory_runs_in_parts_that_fit(
    compute: Compute, monkeypatch: pytest.MonkeyPatch
) -> None:
    released: list[int] = []
    forwards = failing(
        compute,
        monkeypatch,
        lambda w: torch.OutOfMemoryError("no room") if len(w) > 4 else None,
    )
    monkeypatch.setattr(compute, "release", lambda: released.append(1))
    got = answers(compute, 16)
    assert [type(answer) for answer in got.values()] == [Answer] * 16
    assert sorted(forwards) == [4, 4, 4, 4, 8, 8, 16]
    assert len(released) == 3


def test_memory_of_a_failed_forward_is_free_before_the_next(
    compute: Compute, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Large:
        alive = 0

        def __init__(self) -> None:
            Large.alive += 1

        def __del__(self) -> None:
            Large.alive -= 1

    seen: list[int] = []

    def fails(windows: Sequence[Sequence[int]]) -> Exception | None:
        seen.append(Large.alive)
        activations = Large()  # held by the frame, and so by the error's traceback
        if len(windows) > 1:
            raise torch.OutOfMemoryError(f"no room beside {activations}")
        return None

    failing(compute, monkeypatch, fails)
    assert len(answers(compute, 4)) == 4
    assert seen == [0] * 7


def test_window_too_large_by_itself_fails_alone(
    compute: Compute, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(compute, monkeypatch, lambda w: torch.OutOfMemoryError("no room"))
    got = answers(compute, 1)
    assert got == {0: Failure(0, "internal", "OutOfMemoryError('no room')")}


def test_window_whose_logits_are_no_numbers_fails_alone(
    compute: Compute, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = choices.forward

    def forward(classifier: Any, graphs: Any, batch: Padded, schedule: Any) -> list[list[float]]:
        logits = whole(classifier, graphs, batch, schedule)
        return [
            [math.nan] * len(row) if BAD in one else row
            for row, one in zip(logits, batch.input_ids.tolist(), strict=True)
        ]

    monkeypatch.setattr(choices, "forward", forward)
    got = answers(compute, 4, bad=2)
    assert isinstance(got.pop(2), Failure)
    assert [type(answer) for answer in got.values()] == [Answer] * 3


def test_worker_whose_device_is_lost_ends_and_answers_nobody(
    compute: Compute, monkeypatch: pytest.MonkeyPatch
) -> None:
    forwards = failing(compute, monkeypatch, lambda w: torch.AcceleratorError("device-side assert"))
    with pytest.raises(torch.AcceleratorError):
        answers(compute, 4)
    assert forwards == [4]


def test_heart_beats_between_the_parts_of_a_failed_batch(
    compute: Compute, monkeypatch: pytest.MonkeyPatch
) -> None:
    beats: list[int] = []
    monkeypatch.setattr(Heartbeat, "beat", lambda self: beats.append(1))
    failing(compute, monkeypatch, lambda w: ValueError("bad") if len(w) > 1 else None)
    answers(compute, 4)
    assert len(beats) == 6

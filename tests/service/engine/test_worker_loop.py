"""The loop of a worker: what comes while a batch runs counts for the next one."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
import torch

from service.engine.activity import Activity
from service.engine.batcher import BatchLimits
from service.engine.compute import BatchResult
from service.engine.inbox import Inbox
from service.engine.options import socket_path
from service.engine.wire import Answer, BatchFacts, Cancel, FromWorker, Work, WorkerState, pack
from service.engine.worker import WorkerAPI, WorkerLoop
from service.observe.timing import now
from tests.launch import eventually
from tests.service.engine.api_process import API, WAIT_SECONDS

FAR = 1e12


class Worker:
    """A worker's loop on a thread, with forwards that do as the test says.

    Attributes:
        lengths: of the windows of each forward so far.
        shares: workers that computed at the start of each, as it was told.
        during: called in each forward, with how many there were before it.
    """

    def __init__(self, folder: Path) -> None:
        self.lengths: list[list[int]] = []
        self.shares: list[int] = []
        self.during: Callable[[int], None] = lambda number: None
        self.inbox = Inbox(BatchLimits(padded_tokens=64))
        self.path = socket_path(folder, 0)
        self._compute = SimpleNamespace(
            run=self._run,
            share=self.shares.append,
            device=torch.device("cpu"),
            models={},
            memory_bytes=lambda: 1,
            sequential_depth=lambda model, length, schedule: length,
            flops=lambda model, length: length,
            computed_tokens=lambda model, lengths: len(lengths) * max(lengths),
        )
        options = SimpleNamespace(sockets=folder, replaces=0, workers=2)
        self._api = SimpleNamespace(
            compute=self._compute, inbox=self.inbox, options=options, stopping=False
        )
        self._thread = threading.Thread(target=self._work, daemon=True)

    def _run(
        self, model: str, schedule: str | None, windows: Sequence[Sequence[int]]
    ) -> BatchResult:
        self.lengths.append([len(window) for window in windows])
        self.during(len(self.lengths) - 1)
        return BatchResult([[0.5] for _ in windows], now(), now())

    def _work(self) -> None:
        with contextlib.suppress(SystemExit):  # how the process that it usually is ends
            WorkerLoop().run(cast(WorkerAPI, self._api), "cpu", 0)

    def __enter__(self) -> Worker:
        self._thread.start()
        eventually(self.path.exists, WAIT_SECONDS)
        return self

    def __exit__(self, *exception: object) -> None:
        self._api.stopping = True
        self._thread.join(WAIT_SECONDS)
        assert not self._thread.is_alive(), "the worker goes on"


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Worker]:
    with Worker(tmp_path) as running:
        yield running


@pytest.fixture
def api(worker: Worker) -> Iterator[API]:
    with API(worker.path) as process:
        yield process


def work(work_id: int, length: int) -> Work:
    return Work(work_id, "lstm", None, [pack([1] * length)], FAR)


def receive(api: API, answers: int) -> list[FromWorker]:
    """What comes until so many answers have."""
    messages: list[FromWorker] = []
    while sum(isinstance(message, Answer) for message in messages) < answers:
        messages += api.receive()
    return messages


def test_short_text_that_comes_during_a_long_one_goes_next(worker: Worker, api: API) -> None:
    worker.during = lambda number: None if number else api.send(work(2, 301), work(3, 5))
    api.send(work(1, 300))
    receive(api, 3)
    assert worker.lengths == [[300], [5], [301]]


def test_forward_shares_the_cores_with_those_of_other_workers(
    tmp_path: Path, worker: Worker, api: API
) -> None:
    activity, seen = Activity(tmp_path, 2), []
    worker.during = lambda number: seen.append(activity.computing(0))
    for busy in (False, True):
        if busy:
            activity.begin(1)
        api.send(work(1, 4))
        receive(api, 1)
        assert not activity.computing(0), "whoever is answered may ask again at once"
    assert seen == [True, True]
    assert worker.shares == [1, 2]


def test_what_is_cancelled_during_a_forward_is_never_run(worker: Worker, api: API) -> None:
    worker.during = lambda number: None if number else api.send(work(2, 40), work(3, 4), Cancel(2))
    api.send(work(1, 300))
    receive(api, 2)
    assert worker.lengths == [[300], [4]]


def test_facts_of_a_batch_come_with_its_answers(worker: Worker, api: API) -> None:
    api.send(work(1, 4))
    messages = receive(api, 1)
    kinds = [type(message) for message in messages if not isinstance(message, WorkerState)]
    assert kinds[-2:] == [Answer, BatchFacts]


def test_nobody_waits_for_what_is_learnt_of_a_batch(
    worker: Worker, api: API, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered, in_time = threading.Event(), []

    def learn(rows: int, turn_seconds: float) -> None:
        in_time.append(answered.wait(WAIT_SECONDS) and rows == 1 and turn_seconds > 0)

    monkeypatch.setattr(worker.inbox, "learn", learn)
    api.send(work(1, 4))
    receive(api, 1)
    answered.set()
    eventually(lambda: in_time == [True], WAIT_SECONDS)


def test_what_waits_is_told_before_the_forward(worker: Worker, api: API) -> None:
    told: list[WorkerState] = []

    def look(number: int) -> None:
        while number == 0 and not told:
            told.extend(m for m in api.receive() if isinstance(m, WorkerState) and m.waiting)

    worker.during = look
    api.send(work(1, 300), work(2, 301), work(3, 302))
    eventually(lambda: bool(told), WAIT_SECONDS)
    assert {"lstm": 2} in [state.waiting for state in told]

"""The watch over processes: what died is started again, what is stuck is ended."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from types import SimpleNamespace
from typing import cast

import pytest

from service.engine import supervisor
from service.engine.heartbeat import Heartbeat
from service.engine.supervisor import Charge, Supervisor
from tests.launch import eventually

STUCK_SECONDS = 0.5
fork = multiprocessing.get_context("fork")


def beat(heartbeat: Heartbeat) -> None:
    while True:
        heartbeat.beat()
        time.sleep(0.01)


def beat_once(heartbeat: Heartbeat) -> None:
    heartbeat.beat()
    time.sleep(3600)


def fail(heartbeat: Heartbeat) -> None:
    os._exit(1)


class Launched(list[int]):
    """How many deaths each start was told of.

    Attributes:
        charge: what is watched.
    """

    charge: Charge


@contextmanager
def watched(
    life: Callable[[Heartbeat], None],
    dies_young: Callable[[], bool] = lambda: True,
    died: Callable[[int], None] = lambda pid: None,
) -> Iterator[Launched]:
    launched = Launched()

    def launch(replaces: int) -> tuple[BaseProcess, Heartbeat]:
        launched.append(replaces)
        heartbeat = Heartbeat()
        process = fork.Process(target=life, args=(heartbeat,))
        process.start()
        return process, heartbeat

    launched.charge = Charge("it", launch, *launch(0), dies_young=dies_young, died=died)
    watch = Supervisor([launched.charge], STUCK_SECONDS)
    watch.start()
    try:
        yield launched
    finally:
        watch.stop()
        launched.charge.process.kill()
        launched.charge.process.join()


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(supervisor, "FIRST_PAUSE_SECONDS", 0.05)


def kill(charge: Charge, number: signal.Signals = signal.SIGKILL) -> None:
    eventually(lambda: charge.heartbeat.count > 0)
    assert charge.process.pid is not None
    os.kill(charge.process.pid, number)


def test_killed_process_is_started_again_and_told_of_its_death() -> None:
    with watched(beat) as launched:
        kill(launched.charge)
        eventually(lambda: launched == [0, 1])
        eventually(lambda: launched.charge.untold == 0)  # it got going, and so told of it
        kill(launched.charge)
        eventually(lambda: launched == [0, 1, 1])


@pytest.mark.parametrize("number", [signal.SIGSTOP, None], ids=["stopped", "hung"])
def test_stuck_process_is_killed_and_started_again(number: signal.Signals | None) -> None:
    with watched(beat if number else beat_once) as launched:
        first = launched.charge.process
        if number:
            kill(launched.charge, number)
        eventually(lambda: len(launched) > 1)
        assert first.exitcode == -signal.SIGKILL


def test_process_that_gets_on_is_left_alone() -> None:
    with watched(beat) as launched:
        time.sleep(4 * STUCK_SECONDS)
        assert launched == [0]


def test_process_that_takes_long_to_start_is_left_alone() -> None:
    with watched(lambda heartbeat: time.sleep(3600)) as launched:
        time.sleep(4 * STUCK_SECONDS)
        assert launched == [0]


@pytest.mark.parametrize(
    ("pause", "looks"), [(1000, 3), (0.01, 40)], ids=["stopped as well", "woken by others"]
)
def test_nobody_is_stuck_while_nobody_looked(
    monkeypatch: pytest.MonkeyPatch, pause: float, looks: int
) -> None:
    """The parent's own time off isn't theirs; nor is what it sees when others make it look."""
    moment, killed = [0.0], list[bool]()
    monkeypatch.setattr(supervisor, "time", SimpleNamespace(monotonic=lambda: moment[0]))
    process = SimpleNamespace(pid=1, exitcode=None, kill=lambda: killed.append(True))
    stuck = cast(BaseProcess, process)
    heartbeat = Heartbeat()
    heartbeat.beat()
    charge = Charge("it", lambda replaces: (stuck, heartbeat), stuck, heartbeat, began=0.0)
    watch = Supervisor([charge], STUCK_SECONDS)
    for _ in range(looks):
        moment[0] += pause
        watch.look()
    assert killed == []


def test_process_that_dies_at_each_start_is_started_ever_more_seldom(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with watched(fail) as launched:
        eventually(lambda: len(launched) >= 4)
        assert launched[:4] == [0, 1, 2, 3]
        assert launched.charge.pause_seconds >= 0.2


def test_process_that_must_not_die_young_is_given_up() -> None:
    told: list[bool] = []

    def give_up() -> bool:
        told.append(True)
        return False

    with watched(fail, dies_young=give_up) as launched:
        eventually(lambda: launched.charge.given_up)
        time.sleep(0.3)
        assert (launched, told) == ([0], [True])


def test_death_is_told_with_its_process_id() -> None:
    dead: list[int] = []
    with watched(beat, died=dead.append) as launched:
        pid = launched.charge.process.pid
        kill(launched.charge)
        eventually(lambda: dead == [pid])


def test_start_that_fails_is_tried_again() -> None:
    with watched(beat) as launched:
        launch = launched.charge.launch

        def no_room(replaces: int) -> tuple[BaseProcess, Heartbeat]:
            launched.charge.launch = launch
            raise OSError(28, "No space left on device")

        launched.charge.launch = no_room
        kill(launched.charge)
        eventually(lambda: launched == [0, 1])


def test_nothing_is_started_once_told_to_stop() -> None:
    with watched(beat) as launched:
        pass
    time.sleep(0.3)
    assert launched == [0]

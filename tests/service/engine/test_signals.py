"""Signals that come while a process is being started."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import threading
from collections.abc import Iterator

import pytest

from service.engine.signals import STOP, StopSignals, deaf_children


@pytest.fixture
def signals() -> Iterator[StopSignals]:
    """This process's; what it had for them comes back."""
    before = [signal.getsignal(number) for number in STOP]
    yield StopSignals()
    for number, handler in zip(STOP, before, strict=True):
        signal.signal(number, handler)


@pytest.mark.parametrize("number", STOP)
def test_signal_ends_what_runs_once(signals: StopSignals, number: signal.Signals) -> None:
    told: list[int] = []
    signals.before = lambda: told.append(1)
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(number)
    for again in STOP:
        signal.raise_signal(again)
    assert told == [1]


def test_signal_waits_for_what_is_held(signals: StopSignals) -> None:
    done: list[str] = []

    def start() -> None:
        with signals.held():
            signal.raise_signal(signal.SIGTERM)
            signal.raise_signal(signal.SIGINT)
            done.append("all of it")

    with pytest.raises(KeyboardInterrupt):
        start()
    assert done == ["all of it"]


def test_error_in_what_is_held_comes_out(signals: StopSignals) -> None:
    with pytest.raises(OSError, match="no room"), signals.held():
        raise OSError("no room")
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGTERM)


def hear_and_go_on() -> None:
    signal.raise_signal(signal.SIGTERM)
    os._exit(1)


def test_fork_ends_at_once_by_a_signal_that_its_parent_holds(signals: StopSignals) -> None:
    with signals.held():
        child = multiprocessing.get_context("fork").Process(target=hear_and_go_on)
        child.start()
    child.join()
    assert child.exitcode == 0


def blocked() -> int:
    """Signals that a program started now can't hear, a bit each from 1 on."""
    told = subprocess.check_output(["cat", "/proc/self/status"], text=True)
    (line,) = [line for line in told.splitlines() if line.startswith("SigBlk:")]
    return int(line.split()[1], 16)


@pytest.mark.parametrize("main_thread", [True, False])
def test_spawned_program_never_hears_ctrl_c(main_thread: bool) -> None:
    seen: list[int] = []

    def spawn() -> None:
        seen.append(blocked())
        with deaf_children():
            seen.append(blocked())
        seen.append(blocked())

    if main_thread:
        spawn()
    else:
        thread = threading.Thread(target=spawn)
        thread.start()
        thread.join()
    interrupt = 1 << signal.SIGINT - 1
    assert seen[0] == seen[2]
    assert seen[1] ^ seen[0] == interrupt

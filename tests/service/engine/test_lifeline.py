"""A process ends with its parent, whenever that went."""

from __future__ import annotations

import multiprocessing
import os
import time
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from service.engine.lifeline import end_with_parent
from tests.launch import eventually

fork = multiprocessing.get_context("fork")


def live(told: Connection, starter: int, late: bool) -> None:
    while late and os.getppid() == starter:
        time.sleep(0.01)
    told.send(os.getpid())
    end_with_parent()
    time.sleep(3600)


def start_and_die(told: Connection, late: bool) -> None:
    fork.Process(target=live, args=(told, os.getpid(), late)).start()
    if not late:
        time.sleep(0.5)
    os._exit(0)


@pytest.mark.parametrize("late", [False, True], ids=["watched", "gone before"])
def test_process_ends_with_its_parent(late: bool) -> None:
    here, there = fork.Pipe()
    parent = fork.Process(target=start_and_die, args=(there, late))
    parent.start()
    assert here.poll(60), "it never began"
    child: int = here.recv()
    parent.join()
    eventually(lambda: not Path(f"/proc/{child}").exists())

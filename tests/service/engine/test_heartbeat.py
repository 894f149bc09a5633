"""The count that says that a process gets on."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from service.engine.heartbeat import Heartbeat
from tests.small_disk import ROOM
from tests.small_disk import small_disk as small_disk


def test_beats_in_a_file_are_seen_by_whoever_opened_it_before(tmp_path: Path) -> None:
    seen = Heartbeat(tmp_path / "beat")
    assert seen.count == 0
    beaten = Heartbeat(tmp_path / "beat")
    for _ in range(300):
        beaten.beat()
    assert seen.count == 300


def test_beats_of_a_fork_are_seen_by_its_parent() -> None:
    heartbeat = Heartbeat()
    pid = os.fork()
    if not pid:
        heartbeat.beat()
        os._exit(0)
    os.waitpid(pid, 0)
    assert heartbeat.count == 1


def test_no_room_for_a_heartbeat_is_an_error_and_not_the_end_of_the_process(
    small_disk: Path,
) -> None:
    (small_disk / "filler").write_bytes(bytes(ROOM))
    with pytest.raises(OSError, match="No space left"):
        Heartbeat(small_disk / "beat")

"""The outlet, on real pipes, sockets and files: it never waits, and what it drops it counts."""

from __future__ import annotations

import os
import select
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.observe import stderr
from service.observe.stderr import KEPT_LINES, Outlet

LINE_BYTES = 500
MANY = 600  # lines that no pipe or socket here holds, and that may all be kept


def line(number: int) -> bytes:
    return f"{number:06d}".encode().ljust(LINE_BYTES - 1, b".") + b"\n"


def write_lines(outlet: Outlet, count: int) -> None:
    """Fails, rather than hangs, where a write waits for a reader that never comes."""

    def write() -> None:
        for number in range(count):
            outlet.write(line(number))

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    thread.join(60)
    assert not thread.is_alive(), "it waits"


@pytest.fixture(params=["reopened", "polled", "socket"])
def ends(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """What to read from and what to write to, for each way to write without waiting."""
    if request.param == "socket":
        pair = socket.socketpair()
        fds = [end.detach() for end in pair]
    else:
        fds = list(os.pipe())
    if request.param == "polled":
        monkeypatch.setattr(stderr, "_open_again", refuse)
    yield fds
    for fd in fds:
        os.close(fd)


def refuse(fd: int) -> int:
    raise PermissionError("another user's pipe")


@pytest.fixture
def outlet(ends: list[int]) -> Iterator[Outlet]:
    made = Outlet(ends[1], lambda lost: b"lost %d\n" % lost)
    yield made
    made.close()


def read_all(fd: int, outlet: Outlet) -> list[bytes]:
    """Everything written, and everything kept, as lines."""
    received = b""
    while not outlet.flush(0) or select.select([fd], [], [], 0)[0]:
        received += os.read(fd, 1 << 16)
    return received.splitlines(keepends=True)


def test_line_is_there_at_once(ends: list[int], outlet: Outlet) -> None:
    outlet.write(line(1))
    assert os.read(ends[0], 1 << 16) == line(1)


def test_reader_that_sleeps_gets_every_line_in_order(ends: list[int], outlet: Outlet) -> None:
    write_lines(outlet, MANY)
    assert read_all(ends[0], outlet) == [line(number) for number in range(MANY)]


def test_lines_past_what_is_kept_are_counted(ends: list[int], outlet: Outlet) -> None:
    total = 2 * KEPT_LINES + MANY
    write_lines(outlet, total)
    received = read_all(ends[0], outlet)
    told = received.pop()
    assert received == [line(number) for number in range(len(received))]
    assert told == b"lost %d\n" % (total - len(received))
    outlet.write(line(7))
    assert os.read(ends[0], 1 << 16) == line(7)


def test_flush_is_bounded(outlet: Outlet) -> None:
    write_lines(outlet, MANY)
    assert not outlet.flush(0.05)


def test_fork_forgets_what_its_parent_will_write(ends: list[int], outlet: Outlet) -> None:
    write_lines(outlet, MANY)
    outlet.forget()
    assert outlet.flush(0)
    assert len(read_all(ends[0], outlet)) < MANY


def test_shared_file_keeps_its_mode(ends: list[int], outlet: Outlet) -> None:
    assert os.get_blocking(ends[1])


def test_gone_reader_harms_nobody() -> None:
    reading, writing = os.pipe()
    outlet = Outlet(writing, lambda lost: b"")
    os.close(reading)
    write_lines(outlet, MANY)
    assert outlet.flush(0)
    outlet.close()
    os.close(writing)


def test_file_gets_its_lines(tmp_path: Path) -> None:
    with (tmp_path / "log").open("ab") as file:
        Outlet(file.fileno(), lambda lost: b"").write(line(1))
    assert (tmp_path / "log").read_bytes() == line(1)


def test_full_disk_costs_lines_and_says_so() -> None:
    fd = os.open("/dev/full", os.O_WRONLY)  # every write: no space left on device
    outlet = Outlet(fd, lambda lost: b"lost %d\n" % lost)
    write_lines(outlet, KEPT_LINES + 1)
    assert not outlet.flush(0)
    outlet.close()
    os.close(fd)

"""stderr, written without ever waiting for whoever reads it.

A pipe whose reader has stopped is full after 64 KiB, and then a plain write waits for as long as
the reader likes. Here a line that can't be written now is kept, and those past what may be kept are
counted, and told of once there is room.

A line of up to ``LONGEST`` bytes is written whole or not at all, so the lines of several processes
on one pipe never mix.
"""

from __future__ import annotations

import os
import select
import socket
import stat
import time
from collections import deque
from collections.abc import Callable
from functools import partial

LONGEST = 4096  # PIPE_BUF of Linux: what a pipe takes whole (pipe(7))
KEPT_LINES = 1024
POLL_SECONDS = 0.01


class Outlet:
    """Where lines go. Not thread-safe: its owner has a lock.

    Args:
        fd: of the file, pipe, terminal or socket.
        tell_lost: the line that says that so many were lost.
    """

    def __init__(self, fd: int, tell_lost: Callable[[int], bytes]) -> None:
        self._send, self._close = _sender(fd)
        self._tell_lost = tell_lost
        self._kept: deque[bytes] = deque()
        self._lost = 0

    def write(self, line: bytes) -> None:
        """Writes a line, or keeps it, or counts it as lost. Never waits, never raises."""
        if (self.behind and not self._catch_up()) or not self._put(line):
            self._keep(line)

    @property
    def behind(self) -> bool:
        """Whether there is anything to catch up with."""
        return bool(self._kept or self._lost)

    def flush(self, seconds: float) -> bool:
        """Waits that long, at most, for what was kept; says whether all of it is written."""
        deadline = time.monotonic() + seconds
        while not (done := self._catch_up()) and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
        return done

    def forget(self) -> None:
        """In a fork: what was kept is the parent's to write."""
        self._kept.clear()
        self._lost = 0

    def close(self) -> None:
        """Closes what was opened here, which ``fd`` wasn't."""
        self._close()

    def _catch_up(self) -> bool:
        while self._kept:
            line = self._kept.popleft()
            if not self._put(line):
                self._kept.appendleft(line)
                return False
        if self._lost and self._put(self._tell_lost(self._lost)):
            self._lost = 0
        return not self.behind

    def _put(self, line: bytes) -> bool:
        try:
            sent = self._send(line)
        except BrokenPipeError:  # nobody will ever read it
            return True
        except OSError:  # no room in the pipe, or on the disk: either may pass
            return False
        if sent < len(line):
            self._kept.appendleft(line[sent:])
        return True

    def _keep(self, line: bytes) -> None:
        if len(self._kept) < KEPT_LINES:
            self._kept.append(line)
        else:
            self._lost += 1


def _sender(fd: int) -> tuple[Callable[[bytes], int], Callable[[], None]]:
    """How to write to ``fd`` without waiting, and how to end it.

    O_NONBLOCK belongs to the open file, which other programs, a shell among them, share with us:
    so a pipe or a terminal is opened a second time (Linux), and a socket is told with each write.
    A file on a disk is just written.
    """
    mode = os.fstat(fd).st_mode
    if stat.S_ISSOCK(mode):  # systemd's journal is one
        sock = socket.socket(fileno=os.dup(fd))
        return (lambda line: sock.send(line, socket.MSG_DONTWAIT)), sock.close
    if stat.S_ISREG(mode):
        return partial(os.write, fd), lambda: None
    try:
        own = _open_again(fd)
    except OSError:  # no /proc, or a pipe that belongs to another user
        return partial(_write_if_room, fd), lambda: None
    return partial(os.write, own), partial(os.close, own)


def _open_again(fd: int) -> int:
    flags = os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    return os.open(f"/proc/self/fd/{fd}", flags)


def _write_if_room(fd: int, line: bytes) -> int:
    """Second best: another process may fill the pipe between the look and the write."""
    poll = select.poll()
    poll.register(fd, select.POLLOUT)
    if not poll.poll(0):
        raise BlockingIOError
    return os.write(fd, line)

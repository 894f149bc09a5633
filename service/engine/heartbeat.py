"""A count that a process keeps moving for as long as it gets on, and that its parent looks at.

It lies in memory that both share: to beat is to write eight bytes, and a process that is stopped,
or stuck in a forward, can't.
"""

from __future__ import annotations

import mmap
import os
import struct
from pathlib import Path

_COUNT = struct.Struct("=Q")


class Heartbeat:
    """One process's count, 0 until it first beats.

    Args:
        path: of a file that both processes open; it is made if it isn't there. None for memory
            that a fork shares.

    Raises:
        OSError: the file can't be made; no room for it is one reason.
    """

    def __init__(self, path: Path | None = None) -> None:
        if path is None:
            self._memory = mmap.mmap(-1, _COUNT.size)
            return
        fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            # With its room now, or the first beat on a full disk would end the process.
            os.posix_fallocate(fd, 0, _COUNT.size)
            self._memory = mmap.mmap(fd, _COUNT.size)
        finally:
            os.close(fd)

    def beat(self) -> None:
        """Says that the process gets on."""
        _COUNT.pack_into(self._memory, 0, self.count + 1)

    @property
    def count(self) -> int:
        """How often it has beaten."""
        count: int = _COUNT.unpack_from(self._memory)[0]
        return count

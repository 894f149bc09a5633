"""A count that a process keeps moving for as long as it gets on, and that its parent looks at.

It lies in memory that both share: to beat is to write eight bytes, and a process that is stopped,
or stuck in a forward, can't.
"""

from __future__ import annotations

import struct
from pathlib import Path

from service.engine.shared_memory import shared_memory

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
        self._memory = shared_memory(path, _COUNT.size)

    def beat(self) -> None:
        """Says that the process gets on."""
        _COUNT.pack_into(self._memory, 0, self.count + 1)

    @property
    def count(self) -> int:
        """How often it has beaten."""
        count: int = _COUNT.unpack_from(self._memory)[0]
        return count

"""Which workers compute just now: a byte each, in memory that every process of the service shares.

So cores follow the load: a forward that has the machine to itself uses all that it gains by, and
one beside others its share. And a request goes to a worker that is free.
"""

from __future__ import annotations

from pathlib import Path

from service.engine.shared_memory import shared_memory

NAME = "activity"


class Activity:
    """The board of all workers. Whoever opens it first makes it, with nobody computing.

    Args:
        folder: that the processes share.
        workers: how many there are.

    Raises:
        OSError: the file can't be made; no room for it is one reason.
    """

    def __init__(self, folder: Path, workers: int) -> None:
        self._memory = shared_memory(folder / NAME, workers)

    def begin(self, worker: int) -> int:
        """A worker computes; returns how many do, this one among them."""
        self._memory[worker] = 1
        return sum(self._memory[:])

    def end(self, worker: int) -> None:
        """It has nothing to do, or is gone."""
        self._memory[worker] = 0

    def computing(self, worker: int) -> bool:
        """Whether it does."""
        return bool(self._memory[worker])

"""Which workers compute, or did a moment ago, in memory that every process of the service shares.

So cores follow the load: a forward that has the machine to itself uses all that it gains by, and
one beside others, or shortly after one of them, its share. And a request goes to a worker that is
free.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from pathlib import Path

from service.engine.shared_memory import shared_memory
from service.observe.timing import now

NAME = "activity"
LATELY_SECONDS = 0.05  # after which a worker that was done no longer counts


class Activity:
    """The board of all workers. Whoever opens it first makes it, with nobody computing.

    Args:
        folder: that the processes share.
        workers: how many there are.
        clock: seconds, the same for all processes.

    Raises:
        OSError: the file can't be made; no room for it is one reason.
    """

    def __init__(self, folder: Path, workers: int, clock: Callable[[], float] = now) -> None:
        # When each was done: 0 where it never computed, and infinity while it does.
        size = workers * struct.calcsize("d")
        self._done = memoryview(shared_memory(folder / NAME, size)).cast("d")
        self._clock = clock

    def begin(self, worker: int) -> int:
        """A worker computes; returns how many do or lately did, this one among them.

        Under load a worker that is done has the next batch within a moment: the cores that it left
        would have to be shared again in the middle of a forward.
        """
        self._done[worker] = math.inf
        since = self._clock() - LATELY_SECONDS
        return sum(done > since for done in self._done)

    def end(self, worker: int) -> None:
        """It has nothing to do, or is gone."""
        if self.computing(worker):
            self._done[worker] = self._clock()

    def computing(self, worker: int) -> bool:
        """Whether it does."""
        return self._done[worker] == math.inf

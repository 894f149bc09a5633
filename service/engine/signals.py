"""Signals while processes are started: none leaves a child half made, or one nobody knows of."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from types import FrameType

STOP = (signal.SIGTERM, signal.SIGINT)


class StopSignals:
    """SIGTERM and SIGINT raise KeyboardInterrupt in this process's main thread, once.

    To be made in that thread. A process that was forked from this one ends at once instead.

    Attributes:
        before: called first, in the handler.
    """

    def __init__(self) -> None:
        self.before: Callable[[], None] = lambda: None
        self._owner = os.getpid()
        self._held = self._came = False
        for number in STOP:
            signal.signal(number, self._stop)

    @contextmanager
    def held(self) -> Iterator[None]:
        """A signal that comes inside counts at the end; of the main thread alone."""
        self._held = True
        try:
            yield
        finally:
            self._held = False
        if self._came:
            self._stop(signal.SIGTERM, None)

    def _stop(self, signum: int, frame: FrameType | None) -> None:
        if os.getpid() != self._owner:  # an API process, after uvicorn has drained it
            raise SystemExit(0)
        if self._held:
            self._came = True
            return
        for number in STOP:
            signal.signal(number, signal.SIG_IGN)
        self.before()
        raise KeyboardInterrupt


@contextmanager
def deaf_children() -> Iterator[None]:
    """What is spawned inside never hears SIGINT, which reaches the group and is for the parent."""
    resource_tracker.ensure_running()  # multiprocessing's: starting it would let signals in again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)

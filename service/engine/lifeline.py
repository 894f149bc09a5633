"""A process of the service never outlives the parent: nothing is left on the port, or in memory."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from collections.abc import Callable

POLL_SECONDS = 0.5


def end_with_parent(parent: int | None = None, last: Callable[[], None] = lambda: None) -> None:
    """Ends this process, at once and whatever it is doing, when its parent is gone.

    Args:
        parent: process id to watch; unless given, that of who started it by multiprocessing, which
            may be gone already.
        last: what is done before.
    """
    starter = multiprocessing.parent_process()
    watched = parent or (starter.pid if starter else None) or os.getppid()

    def watch() -> None:
        while os.getppid() == watched:
            time.sleep(POLL_SECONDS)
        try:
            last()
        finally:
            os._exit(1)

    threading.Thread(target=watch, name="lifeline", daemon=True).start()


def end_forks_with_this_process() -> None:
    """Every process forked from this one from now on ends with it."""
    owner = os.getpid()
    os.register_at_fork(
        after_in_child=lambda: end_with_parent(owner) if os.getppid() == owner else None
    )

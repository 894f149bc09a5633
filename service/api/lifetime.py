"""The life of an API process: it beats while its event loop turns, and ends in two steps.

Told by SIGTERM, it fails readiness first. It serves on for as long as a load balancer may take to
look at ``/health/ready`` and send its clients elsewhere; then the server takes no new connection,
finishes what it has, and ends.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from types import FrameType

from service.engine.heartbeat import Heartbeat

BEAT_SECONDS = 0.5


@asynccontextmanager
async def beating(heartbeat: Heartbeat | None) -> AsyncIterator[None]:
    """Beats for the parent, if it gave something to beat, as long as the event loop turns."""
    if heartbeat is None:
        yield
        return
    beats = asyncio.create_task(_beat(heartbeat))
    try:
        yield
    finally:
        beats.cancel()


async def _beat(heartbeat: Heartbeat) -> None:
    while True:
        heartbeat.beat()
        await asyncio.sleep(BEAT_SECONDS)


@contextmanager
def draining(delay_seconds: float, begin: Callable[[], None]) -> Iterator[None]:
    """On SIGTERM calls ``begin``, and ``delay_seconds`` later what the server has for that signal.

    To be entered once the server has its handler, on its event loop.
    """
    if threading.current_thread() is not threading.main_thread():  # a test's
        yield
        return
    loop, stop = asyncio.get_running_loop(), signal.getsignal(signal.SIGTERM)
    begun = False

    def on_sigterm(signum: int, frame: FrameType | None) -> None:
        nonlocal begun
        if not begun and callable(stop):  # the group's signal and the parent's are one
            begun = True
            begin()
            loop.call_soon_threadsafe(loop.call_later, delay_seconds, stop, signum, None)

    signal.signal(signal.SIGTERM, on_sigterm)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, stop)

"""How an API process lives and ends."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from types import FrameType

import pytest

from service.api import lifetime
from service.api.lifetime import beating, draining
from service.engine.heartbeat import Heartbeat

DELAY_SECONDS = 0.3


@pytest.fixture
def stopped() -> Iterator[list[float]]:
    """When the server's own handler was called."""
    times: list[float] = []

    def stop(signum: int, frame: FrameType | None) -> None:
        times.append(time.monotonic())

    before = signal.signal(signal.SIGTERM, stop)
    yield times
    signal.signal(signal.SIGTERM, before)


def test_server_is_stopped_once_and_later_than_readiness_fails(stopped: list[float]) -> None:
    begun: list[float] = []

    async def main() -> None:
        with draining(DELAY_SECONDS, lambda: begun.append(time.monotonic())):
            for _ in range(2):  # the group's signal, then the parent's
                os.kill(os.getpid(), signal.SIGTERM)
                await asyncio.sleep(0.05)
            assert (len(begun), stopped) == (1, [])
            await asyncio.sleep(2 * DELAY_SECONDS)

    asyncio.run(main())
    assert (len(begun), len(stopped)) == (1, 1)
    assert stopped[0] - begun[0] >= DELAY_SECONDS


def test_servers_handler_is_given_back(stopped: list[float]) -> None:
    async def main() -> None:
        with draining(DELAY_SECONDS, lambda: None):
            pass

    asyncio.run(main())
    os.kill(os.getpid(), signal.SIGTERM)
    assert len(stopped) == 1


def test_loop_that_turns_beats_and_one_that_is_blocked_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lifetime, "BEAT_SECONDS", 0.01)
    heartbeat = Heartbeat()

    async def main() -> None:
        async with beating(heartbeat):
            await asyncio.sleep(0.2)
            turned = heartbeat.count
            time.sleep(0.2)
            assert heartbeat.count == turned > 2

    asyncio.run(main())


def test_nothing_is_beaten_where_the_parent_gave_nothing() -> None:
    async def main() -> None:
        async with beating(None):
            pass

    asyncio.run(main())

"""A worker of a test's own making, on a real socket, and who is told what it says."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from service.engine.wire import (
    HEADER,
    Answer,
    BatchFacts,
    FromAPI,
    Hello,
    Ride,
    Work,
    WorkerState,
    decode_from_api,
    frame,
    frame_length,
)
from service.observe.timing import now

HELLO = Hello(1, "cpu", "2.13.0", [])
Handler = Callable[[list[FromAPI], asyncio.StreamWriter], Awaitable[None]]


async def fake_worker(path: Path, handle: Handler, hello: Hello = HELLO) -> asyncio.AbstractServer:
    """Listens on ``path`` and hands each frame of messages to ``handle``."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(frame([hello]))
        try:
            while True:
                length = frame_length(await reader.readexactly(HEADER.size))
                await handle(decode_from_api(await reader.readexactly(length)), writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    return await asyncio.start_unix_server(connected, path)


class Listener:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.hellos: list[Hello] = []
        self.facts: list[BatchFacts] = []
        self.states: list[WorkerState] = []
        self.losses: list[int] = []

    def hello(self, worker: int, hello: Hello) -> None:
        self.hellos.append(hello)

    def batch(self, worker: int, facts: BatchFacts) -> None:
        self.facts.append(facts)

    def state(self, worker: int, state: WorkerState) -> None:
        self.states.append(state)

    def lost(self, worker: int) -> None:
        self.losses.append(worker)


async def echo(messages: list[FromAPI], writer: asyncio.StreamWriter) -> None:
    for message in messages:
        if isinstance(message, Work):
            row = [[float(len(window))] for window in message.windows]
            answer = Answer(message.id, row, 0.0, now(), [Ride(0.0, 1, 1, 1)], 1)
            writer.write(frame([answer]))

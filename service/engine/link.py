"""A connection from an API process to a worker, on the event loop.

Work that gathers in one turn of the loop leaves as one frame. The end of a connection is the
worker's death notice: everything it held fails at once, and the link comes back by itself.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections import Counter
from pathlib import Path
from typing import Protocol, cast

from service.engine.errors import DeadlineError, ForwardError, GaveWayError, WorkerLostError
from service.engine.wire import (
    BYTES_OF_A_TOKEN,
    Answer,
    BatchFacts,
    Cancel,
    Failure,
    FrameBuffer,
    FrameError,
    FromAPI,
    FromWorker,
    Hello,
    Traffic,
    Work,
    WorkerState,
    decode_from_worker,
    frame,
)
from service.observe.timing import now

logger = logging.getLogger("lockstep.client")

RETRY_SECONDS = 0.1  # between attempts to reach a worker that isn't there

FAILURES = {"deadline": DeadlineError, "gave_way": GaveWayError}


class WorkerListener(Protocol):
    """Who is told what workers say of themselves; ``worker`` is the number of one."""

    def hello(self, worker: int, hello: Hello) -> None: ...
    def batch(self, worker: int, facts: BatchFacts) -> None: ...
    def state(self, worker: int, state: WorkerState) -> None: ...
    def lost(self, worker: int) -> None: ...


class WorkerLink(asyncio.Protocol):
    """One connection to one worker.

    Args:
        worker: its number.
        path: its socket.
        listener: told what the worker says of itself.

    Attributes:
        worker: its number.
        hello: its first words; None while there is no connection.
        undivided: models whose forwards it does best one by one, with every core.
        waiting: by id, what was asked and isn't answered.
        outstanding: tokens of that.
        windows: of that, how many of each model, shadows aside, which give way.
        asked_at: when it was sent something last, in seconds of ``timing.now``.
        heard_at: when it last answered, or was asked while it had nothing to do.
        loop: that it was connected on.
    """

    loop: asyncio.AbstractEventLoop

    def __init__(self, worker: int, path: Path, listener: WorkerListener) -> None:
        self.hello: Hello | None = None
        self.undivided: frozenset[str] = frozenset()
        self.waiting: dict[int, asyncio.Future[Answer]] = {}
        self.outstanding, self.asked_at, self.heard_at = 0, 0.0, 0.0
        self.windows: Counter[str] = Counter()
        self._asked: dict[int, tuple[str, int, int]] = {}  # a model, its windows, their tokens
        self.worker, self._path, self._listener = worker, path, listener
        self._ids = itertools.count()
        self._outbox: list[FromAPI] = []
        self._transport: asyncio.Transport | None = None
        self._frames = FrameBuffer()
        self._lost = asyncio.Event()

    async def keep(self) -> None:
        """Connects, and connects again whenever the connection ends; runs until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            self._lost.clear()
            try:
                await loop.create_unix_connection(lambda: self, str(self._path))
                await self._lost.wait()
            except OSError:
                await asyncio.sleep(RETRY_SECONDS)

    def ask(
        self,
        model: str,
        schedule: str | None,
        windows: list[bytes],
        deadline: float,
        traffic: Traffic,
    ) -> int:
        """Sends work with the next frame; its future is in ``waiting`` under the id returned."""
        work = Work(next(self._ids), model, schedule, windows, deadline, traffic)
        self.waiting[work.id] = self.loop.create_future()
        tokens = sum(map(len, windows)) // BYTES_OF_A_TOKEN
        counted = 0 if traffic == "shadow" else len(windows)
        self.asked_at = now()
        if not self._asked:
            self.heard_at = self.asked_at
        self._asked[work.id] = model, counted, tokens
        self.outstanding += tokens
        self.windows[model] += counted
        self._post(work)
        return work.id

    def cancel(self, work_id: int) -> None:
        """Nobody waits for this any more; the worker may already have answered."""
        if self._settle(work_id) is not None:
            self._post(Cancel(work_id))

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's isn't a subclass
        self.loop = asyncio.get_running_loop()  # once: it takes a system call to say it
        self._frames = FrameBuffer()

    def data_received(self, data: bytes) -> None:
        try:
            for body in self._frames.feed(data):
                for message in decode_from_worker(body):
                    self._handle(message)
        except FrameError as error:
            logger.error("a worker sent what isn't ours (%s): connecting again", error)
            self.close()

    def connection_lost(self, error: Exception | None) -> None:
        held, self.waiting = self.waiting, {}
        self.outstanding, self.windows, self._asked = 0, Counter(), {}
        self.hello, self._transport, self._outbox = None, None, []
        self._listener.lost(self.worker)
        for future in held.values():
            if not future.done():
                future.set_exception(WorkerLostError("the worker ended while it held the request"))
        self._lost.set()

    def _handle(self, message: FromWorker) -> None:
        match message:
            case Answer() | Failure():
                self.heard_at = now()
                future = self._settle(message.id)
                if future is None or future.done():
                    return
                if isinstance(message, Answer):
                    future.set_result(message)
                else:
                    failure = FAILURES.get(message.reason, ForwardError)
                    future.set_exception(failure(message.detail))
            case BatchFacts():
                # Two turns on: whoever the same frame answers wakes in the next, and answers.
                loop = self.loop
                loop.call_soon(loop.call_soon, self._listener.batch, self.worker, message)
            case WorkerState():
                self._listener.state(self.worker, message)
            case Hello():
                self.hello = message
                self.undivided = frozenset(one.name for one in message.models if one.undivided)
                self._listener.hello(self.worker, message)

    def _settle(self, work_id: int) -> asyncio.Future[Answer] | None:
        """Work that is waited for no more; None if it wasn't before."""
        if work_id in self._asked:
            model, windows, tokens = self._asked.pop(work_id)
            self.outstanding -= tokens
            self.windows[model] -= windows
        return self.waiting.pop(work_id, None)

    def _post(self, message: FromAPI) -> None:
        if not self._outbox:
            self.loop.call_soon(self._flush)
        self._outbox.append(message)

    def _flush(self) -> None:
        messages, self._outbox = self._outbox, []
        if messages and self._transport is not None:
            self._transport.write(frame(messages))

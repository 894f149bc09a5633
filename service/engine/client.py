"""How an API process asks the workers, and how it is answered, on its event loop.

Work that gathers in one turn of the loop leaves as one frame. The end of a connection is the
worker's death notice: everything it held fails at once, and the link comes back by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, cast

from service.engine.activity import Activity
from service.engine.errors import (
    DeadlineError,
    ForwardError,
    GaveWayError,
    NotReadyError,
    WorkerLostError,
)
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
    pack,
)
from service.observe.timing import now

logger = logging.getLogger("lockstep.client")

RETRY_SECONDS = 0.1  # between attempts to reach a worker that isn't there
MEET_SECONDS = 0.01  # between looks at whether one is connected
DEADLINE_GRACE_SECONDS = 0.25  # what a worker gets to say itself that time is up

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
        waiting: by id, what was asked and isn't answered.
        outstanding: tokens of that.
        asked_at: when it was sent something last, in seconds of ``timing.now``.
        loop: that it was connected on.
    """

    loop: asyncio.AbstractEventLoop

    def __init__(self, worker: int, path: Path, listener: WorkerListener) -> None:
        self.hello: Hello | None = None
        self.waiting: dict[int, asyncio.Future[Answer]] = {}
        self.outstanding, self.asked_at = 0, 0.0
        self._tokens: dict[int, int] = {}
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
        self._tokens[work.id] = tokens = sum(map(len, windows)) // BYTES_OF_A_TOKEN
        self.outstanding += tokens
        self.asked_at = now()
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
        self.outstanding, self._tokens = 0, {}
        self.hello, self._transport, self._outbox = None, None, []
        self._listener.lost(self.worker)
        for future in held.values():
            if not future.done():
                future.set_exception(WorkerLostError("the worker ended while it held the request"))
        self._lost.set()

    def _handle(self, message: FromWorker) -> None:
        match message:
            case Answer() | Failure():
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
                self._listener.hello(self.worker, message)

    def _settle(self, work_id: int) -> asyncio.Future[Answer] | None:
        """Work that is waited for no more; None if it wasn't before."""
        self.outstanding -= self._tokens.pop(work_id, 0)
        return self.waiting.pop(work_id, None)

    def _post(self, message: FromAPI) -> None:
        if not self._outbox:
            self.loop.call_soon(self._flush)
        self._outbox.append(message)

    def _flush(self) -> None:
        messages, self._outbox = self._outbox, []
        if messages and self._transport is not None:
            self._transport.write(frame(messages))


class Engine:
    """The workers, as one thing to ask.

    Args:
        paths: a socket a worker.
        listener: told what the workers say of themselves.
        activity: tells which of them compute, for other API processes too; None where nobody knows.
    """

    def __init__(
        self, paths: Sequence[Path], listener: WorkerListener, activity: Activity | None = None
    ) -> None:
        self._activity = activity
        self._links = [WorkerLink(number, path, listener) for number, path in enumerate(paths)]
        self._tasks: list[asyncio.Task[None]] = []
        self._closing = False

    async def __aenter__(self) -> Engine:
        self._tasks = [asyncio.create_task(link.keep()) for link in self._links]
        return self

    async def __aexit__(self, *exception: object) -> None:
        for task in self._tasks:
            task.cancel()
        for link in self._links:
            link.close()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*self._tasks)

    async def meet(self, seconds: float) -> None:
        """Returns once a worker is connected, or after so long."""
        for _ in range(round(seconds / MEET_SECONDS)):
            if self.hello is not None:
                return
            await asyncio.sleep(MEET_SECONDS)

    @property
    def hello(self) -> Hello | None:
        """What a connected worker said of itself; None while there is none."""
        return next((link.hello for link in self._links if link.hello), None)

    @property
    def ready(self) -> bool:
        """Whether to send requests here: a worker is connected, and it isn't about to end."""
        return self.hello is not None and not self._closing

    def close(self) -> None:
        """It is about to end; until then it answers as before."""
        self._closing = True

    async def infer(
        self,
        model: str,
        schedule: str | None,
        windows: Sequence[Sequence[int]],
        deadline: float,
        traffic: Traffic = "client",
    ) -> tuple[Answer, Hello]:
        """Logits of each window, from the worker that has the fewest tokens of ours to read.

        Of those that have as many, from one that computes nothing, and of these from the one asked
        last: whoever computed a moment ago has the weights at hand, and its threads awake.

        A request that a worker took with it is not sent to another: it may be why that one died.

        Args:
            model: a served name.
            schedule: one of the model's, or None for the fastest on the worker that answers.
            windows: token ids.
            deadline: in seconds of ``timing.now``.
            traffic: whom it is for.

        Returns:
            The answer, and who gave it.

        Raises:
            EngineError: there is none; its kind says why.
        """
        ready = [link for link in self._links if link.hello is not None]
        if not ready:
            raise NotReadyError("no worker is ready")
        link = min(ready, key=self._load)
        hello = link.hello
        assert hello is not None, "it was a moment ago, and nothing was awaited since"
        schedule = schedule or hello.fastest_schedule(model)
        packed = [pack(window) for window in windows]
        work_id = link.ask(model, schedule, packed, deadline, traffic)
        future = link.waiting[work_id]
        timer = link.loop.call_later(deadline - now() + DEADLINE_GRACE_SECONDS, _expire, future)
        try:
            return await future, hello
        finally:
            timer.cancel()
            link.cancel(work_id)

    def _load(self, link: WorkerLink) -> tuple[int, bool, float]:
        computing = self._activity is not None and self._activity.computing(link.worker)
        return link.outstanding, computing, -link.asked_at


def _expire(future: asyncio.Future[Answer]) -> None:
    if not future.done():
        future.set_exception(DeadlineError("no answer in time"))

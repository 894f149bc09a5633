"""What a worker holds: requests taken in, windows that wait, answers being put together.

Reader threads put work in, the loop takes batches out; one condition guards both. Nothing here
knows of sockets or of torch.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from service.engine.batcher import BatchLimits, giving_way, next_batch
from service.engine.wire import (
    Answer,
    Cancel,
    Failure,
    FromAPI,
    FromWorker,
    Ride,
    Traffic,
    Work,
    unpack,
)
from service.observe.timing import now

Reply = Callable[[FromWorker], None]


@dataclass(slots=True, eq=False)
class Pending:
    """A request that isn't answered yet.

    Attributes:
        sender: the connection it came by.
        work: as it came.
        reply: sends a message to whoever asked; never blocks.
        logits: a row a window, filled as batches come back.
        left: windows without logits.
        over: answered, failed or cancelled: its other windows needn't run.
    """

    sender: object
    work: Work
    reply: Reply
    logits: list[list[float]]
    left: int
    batch_seconds: float = 0.0
    sequential_depth: int = 0
    rides: list[Ride] = field(default_factory=list)
    over: bool = False


@dataclass(slots=True, eq=False)
class WaitingWindow:
    """One window of a request, waiting for its batch."""

    pending: Pending
    index: int
    ids: list[int]

    @property
    def model(self) -> str:
        return self.pending.work.model

    @property
    def schedule(self) -> str | None:
        return self.pending.work.schedule

    @property
    def traffic(self) -> Traffic:
        return self.pending.work.traffic

    @property
    def length(self) -> int:
        return len(self.ids)


class Inbox:
    """Waiting windows, oldest first.

    Args:
        limits: of a batch.
    """

    def __init__(self, limits: BatchLimits) -> None:
        self._limits = limits
        self._changed = threading.Condition()
        self._waiting: list[WaitingWindow] = []
        self._pending: dict[tuple[object, int], Pending] = {}

    def put(self, sender: object, messages: list[FromAPI], reply: Reply) -> None:
        """Takes in what one connection sent.

        Args:
            sender: the connection, which scopes its ids.
            messages: work and cancellations, in order.
            reply: how to answer; never blocks.
        """
        with self._changed:
            for message in messages:
                if isinstance(message, Cancel):
                    self._drop(sender, message.id)
                    continue
                count = len(message.windows)
                pending = Pending(sender, message, reply, [[]] * count, left=count)
                self._pending[sender, message.id] = pending
                self._waiting.extend(
                    WaitingWindow(pending, index, unpack(packed))
                    for index, packed in enumerate(message.windows)
                )
            self._changed.notify()

    def forget(self, sender: object) -> None:
        """Drops everything a connection asked for: it is gone."""
        with self._changed:
            for key in [key for key in self._pending if key[0] is sender]:
                self._drop(*key)

    def take(self, timeout: float) -> list[WaitingWindow]:
        """The next batch, as soon as anything waits; empty after ``timeout`` seconds of nothing.

        Windows whose deadline has passed fail here and are never computed; so do shadows where a
        client waits.
        """
        with self._changed:
            if not self._waiting:
                self._changed.wait(timeout)
            self._waiting = [w for w in self._waiting if not self._expired(w.pending)]
            if gone := giving_way(self._waiting):
                for position in gone:
                    self.fail(self._waiting[position], "gave_way", "a client wanted the worker")
                self._waiting = [w for w in self._waiting if not w.pending.over]
            if not self._waiting:
                return []
            chosen = next_batch(self._waiting, self._limits)
            batch = [self._waiting[position] for position in chosen]
            taken = set(chosen)
            self._waiting = [w for i, w in enumerate(self._waiting) if i not in taken]
            return batch

    def waiting(self) -> dict[str, int]:
        """Clients' windows that wait for a batch, by model."""
        with self._changed:
            asked = (w for w in self._waiting if w.traffic == "client" and not w.pending.over)
            return dict(Counter(window.model for window in asked))

    def finish(
        self,
        batch: list[WaitingWindow],
        logits: list[list[float]],
        ride: Ride,
        batch_seconds: float,
        depths: list[int],
        finished: float,
    ) -> None:
        """Hands a batch's logits to its requests, and answers those that are complete."""
        riders: dict[int, Pending] = {}
        for window, row, depth in zip(batch, logits, depths, strict=True):
            pending = window.pending
            pending.logits[window.index] = row
            pending.left -= 1
            pending.sequential_depth = max(pending.sequential_depth, depth)
            riders[id(pending)] = pending
        for pending in riders.values():
            pending.rides.append(ride)
            pending.batch_seconds += batch_seconds
            if not pending.left:
                self._end(pending, self._answer(pending, finished))

    def fail(self, window: WaitingWindow, reason: str, detail: str) -> None:
        """Fails the request a window belongs to."""
        pending = window.pending
        self._end(pending, Failure(pending.work.id, reason, detail))

    @staticmethod
    def _answer(pending: Pending, finished: float) -> Answer:
        return Answer(
            id=pending.work.id,
            logits=pending.logits,
            batch_seconds=pending.batch_seconds,
            finished=finished,
            rides=pending.rides,
            sequential_depth=pending.sequential_depth,
            schedule=pending.work.schedule,
        )

    def _end(self, pending: Pending, message: FromWorker) -> None:
        with self._changed:
            if pending.over:
                return
            pending.over = True
            self._pending.pop((pending.sender, pending.work.id), None)
        pending.reply(message)

    def _expired(self, pending: Pending) -> bool:
        if not pending.over and now() > pending.work.deadline:
            self._end(pending, Failure(pending.work.id, "deadline", "dropped before its forward"))
        return pending.over

    def _drop(self, sender: object, work_id: int) -> None:
        pending = self._pending.pop((sender, work_id), None)
        if pending is not None:
            pending.over = True

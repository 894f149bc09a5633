"""What a worker holds: requests taken in, windows that wait, answers being put together.

One thread puts work in, takes batches out and hands their logits back. Nothing here knows of
sockets or of torch.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from service.engine.batcher import BatchLimits, Past, giving_way, next_batch
from service.engine.forward_cost import Key, Observations
from service.engine.queue import Group, Place, Queue
from service.engine.wire import (
    Answer,
    Cancel,
    Failure,
    FromAPI,
    FromWorker,
    Ride,
    Work,
    unpack,
)
from service.observe.timing import now

# Batches of a model and schedule after which its costs are fitted anew, which takes about 1 ms: at
# first, and then again and again.
FIRST_FITS = (32, 64, 128)
REFIT_BATCHES = 256

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
        places: in the queue; those of windows that ran wait no more.
        over: answered, failed or cancelled: its other windows needn't run.
    """

    sender: object
    work: Work
    reply: Reply
    logits: list[list[float]]
    left: int
    places: list[Place[WaitingWindow]] = field(default_factory=list)
    batch_seconds: float = 0.0
    sequential_depth: int = 0
    rides: list[Ride] = field(default_factory=list)
    over: bool = False


@dataclass(slots=True, eq=False)
class WaitingWindow:
    """One window of a request, the one at ``index``, waiting for its batch."""

    pending: Pending
    index: int
    ids: array[int]
    group: Group
    length: int
    deadline: float


class Inbox:
    """The queue of a worker, and the requests that its windows belong to.

    Args:
        limits: of a batch; its costs are learnt.
        observations: forwards that ran before.
    """

    def __init__(self, limits: BatchLimits, observations: Observations | None = None) -> None:
        self._observations = observations or Observations()
        self._limits = replace(limits, costs=self._observations.costs())
        self._batches: Counter[Key] = Counter()
        self._ran: list[tuple[Group, list[int], float]] = []  # lengths, and seconds
        self._queue: Queue[WaitingWindow] = Queue()
        self._past = Past()
        self._pending: dict[tuple[object, int], Pending] = {}

    def put(self, sender: object, messages: list[FromAPI], reply: Reply) -> None:
        """Takes in what one connection sent.

        Args:
            sender: the connection, which scopes its ids.
            messages: work and cancellations, in order.
            reply: how to answer; never blocks.
        """
        for message in messages:
            if isinstance(message, Cancel):
                self._drop(sender, message.id)
                continue
            count = len(message.windows)
            pending = Pending(sender, message, reply, [[]] * count, left=count)
            self._pending[sender, message.id] = pending
            group = Group(message.model, message.schedule, message.traffic)
            for index, packed in enumerate(message.windows):
                ids = unpack(packed)
                window = WaitingWindow(pending, index, ids, group, len(ids), message.deadline)
                pending.places.append(self._queue.add(window))

    def forget(self, sender: object) -> None:
        """Drops everything a connection asked for: it is gone."""
        for key in [key for key in self._pending if key[0] is sender]:
            self._drop(*key)

    def take(self) -> list[WaitingWindow]:
        """The next batch; empty where nothing waits.

        Windows whose deadline has passed fail here and are never computed; so do shadows where a
        client waits.
        """
        self._fail(self._queue.late(now()), "deadline", "dropped before its forward")
        self._fail(giving_way(self._queue), "gave_way", "a client wanted the worker")
        if not self._queue:
            self._past = Past()  # nobody was held back
            return []
        batch, self._past = next_batch(self._queue, self._limits, self._past)
        self._queue.remove(batch)
        return [place.window for place in batch]

    @property
    def empty(self) -> bool:
        """Whether nothing waits for a batch."""
        return not self._queue

    def waiting(self) -> dict[str, int]:
        """Clients' windows that wait for a batch, by model."""
        if not self._queue:
            return {}
        waiting: Counter[str] = Counter()
        for group, line in self._queue.lines.items():
            if group.traffic == "client":
                waiting[group.model] += len(line.places)
        return dict(waiting)

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
        lengths = [window.length for window in batch]
        self._ran.append((batch[0].group, lengths, batch_seconds + ride.forward_seconds))
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

    def learn(self, rows: int, turn_seconds: float) -> None:
        """Learns what the batches cost that ran since it was last called.

        Args:
            rows: of the one that was taken. Where it failed, halves of it ran.
            turn_seconds: that the worker spent on it, its forward and all else, which counts where
                it ran whole: that is spent however few rows ride.
        """
        ran, self._ran = self._ran, []
        for group, lengths, forward_seconds in ran:
            seconds = turn_seconds if len(lengths) == rows else forward_seconds
            key = group.model, group.schedule
            self._observations.add(key, lengths, seconds)
            self._batches[key] += 1
            batches = self._batches[key]
            if batches in FIRST_FITS or batches % REFIT_BATCHES == 0:
                costs = {**self._limits.costs, key: self._observations.cost(key)}
                self._limits = replace(self._limits, costs=costs)

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

    def _fail(self, places: Sequence[Place[WaitingWindow]], reason: str, detail: str) -> None:
        for place in places:
            self.fail(place.window, reason, detail)

    def _end(self, pending: Pending, message: FromWorker) -> None:
        if pending.over:
            return
        self._drop(pending.sender, pending.work.id)
        pending.reply(message)

    def _drop(self, sender: object, work_id: int) -> None:
        pending = self._pending.pop((sender, work_id), None)
        if pending is not None:
            pending.over = True
            # Emptied, since places lead back to the request: without a ring it is gone at once,
            # and leaves nothing for the garbage collector.
            places, pending.places = pending.places, []
            self._queue.remove(places)

"""How an API process asks the workers: which of them, and until when."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from pathlib import Path

from service.engine.activity import Activity
from service.engine.errors import DeadlineError, NotReadyError
from service.engine.link import WorkerLink, WorkerListener
from service.engine.wire import Answer, Hello, Traffic, pack
from service.observe.timing import now

MEET_SECONDS = 0.01  # between looks at whether one is connected
DEADLINE_GRACE_SECONDS = 0.25  # what a worker gets to say itself that time is up
# Windows of a model that runs undivided, waiting or under way, up to which one worker has them all.
# Of more, two workers make batches so large that side by side as much gets done.
UNDIVIDED_WINDOWS = 48
SILENT_SECONDS = 1.0  # a worker that answers nothing for so long may be stuck: others are asked too


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
        last: whoever computed a moment ago has the weights at hand, and its threads awake. But a
        model whose forwards are better not side by side stays with the worker that has it in hand.

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
        link = _at_it(model, len(windows), ready) or min(ready, key=self._load)
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


def _at_it(model: str, windows: int, links: Sequence[WorkerLink]) -> WorkerLink | None:
    """For so many more windows of a model that runs undivided, the worker that has most of it.

    None where that is no gain, or where that worker has something else to do.
    """
    able = [link for link in links if model in link.undivided]
    if not able or sum(link.windows[model] for link in able) + windows > UNDIVIDED_WINDOWS:
        return None
    most = max(able, key=lambda link: link.windows[model])
    free = 0 < most.windows[model] == most.windows.total()
    return most if free and now() - most.heard_at < SILENT_SECONDS else None


def _expire(future: asyncio.Future[Answer]) -> None:
    if not future.done():
        future.set_exception(DeadlineError("no answer in time"))

"""The worker process: one ``LitAPI`` that holds every model, on a loop of ours.

LitServe starts the process, calls ``setup`` and then the loop's ``run``, and ends it. Its queues
are not used: work comes over a Unix socket (DESIGN: why).
"""

from __future__ import annotations

import logging
import signal
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

import litserve
from litserve.loops.base import LitLoop

from service.engine.activity import Activity
from service.engine.connections import Listener
from service.engine.heartbeat import Heartbeat
from service.engine.inbox import Inbox, WaitingWindow
from service.engine.lifeline import end_with_parent
from service.engine.options import WorkerOptions, heartbeat_path, remove_weights, socket_path
from service.engine.wire import BatchFacts, Ride, WorkerState
from service.heap import keep_what_is_loaded
from service.observe import logs
from service.observe.timing import now

if TYPE_CHECKING:
    from service.engine.compute import BatchResult, Compute

logger = logging.getLogger("lockstep.worker")

IDLE_SECONDS = 0.5  # between looks at whether to stop


class Unused:
    """What LitServe hands to every process, in place of a queue and of the manager of queues."""

    def close(self, send_sentinel: bool = True) -> None: ...
    def shutdown(self) -> None: ...


class WorkerAPI(litserve.LitAPI):  # type: ignore[misc]  # litserve ships no types
    """Loads the models; the loop does the rest."""

    def __init__(self, options: WorkerOptions) -> None:
        super().__init__(loop=WorkerLoop())
        self.options = options
        self.compute: Compute | None = None
        self.inbox: Inbox | None = None
        self.stopping = False

    def setup(self, device: str) -> None:
        """In the new process. A signal to the group is for the parent, which ends workers last.

        Args:
            device: where to compute; the parent's choice, not LitServe's.
        """
        with logs.last_words():  # LitServe would end the process as if it were done
            end_with_parent(last=partial(remove_weights, self.options.sockets))
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            signal.signal(signal.SIGTERM, self._stop)
            logs.configure(self.options.log_level, self.options.log_format)
            # Only here: an API process and the parent never pay for torch.
            from service.engine.loading import load

            self.compute, self.inbox = load(self.options, device)
            keep_what_is_loaded()

    def predict(self, x: Any, **kwargs: Any) -> Any:
        """LitServe asks for one; work never passes through it."""
        raise RuntimeError("work comes over the socket")

    def _stop(self, signum: int, frame: Any) -> None:
        if self.inbox is None:  # still loading: nobody asked it for anything
            raise SystemExit(0)
        self.stopping = True


class WorkerLoop(LitLoop):  # type: ignore[misc]  # litserve ships no types
    """Takes batches from the inbox and runs them, until told to stop and nobody is connected."""

    def __call__(self, *arguments: Any) -> None:
        with logs.last_words():
            super().__call__(*arguments)

    def run(self, lit_api: WorkerAPI, device: str, worker_id: int, *unused: Any) -> None:
        compute, inbox, options = lit_api.compute, lit_api.inbox, lit_api.options
        assert compute is not None, "setup comes first"
        assert inbox is not None, "setup comes first"
        from service.engine.loading import greeting

        path = socket_path(options.sockets, worker_id)
        listener = Listener(path, inbox, greeting(compute, options.replaces))
        heartbeat = Heartbeat(heartbeat_path(options.sockets, worker_id))
        activity = Activity(options.sockets, options.workers)
        told: WorkerState | None = None
        while not (lit_api.stopping and listener.connections == 0):
            heartbeat.beat()
            began = now()
            listener.serve(timeout=0)  # what came while the last batch ran
            batch = inbox.take()
            if not batch:
                activity.end(worker_id)
                listener.serve(timeout=IDLE_SECONDS)
                began = now()
                batch = inbox.take()
            # What waits while this batch runs. The memory, read only where nobody is kept waiting.
            memory = told.memory_bytes if told and batch else compute.memory_bytes()
            state = WorkerState(inbox.waiting(), memory)
            if state != told:
                listener.tell_all(state)
                told = state
            if batch:
                compute.share(activity.begin(worker_id))
                run_batch(compute, inbox, batch, heartbeat)
                if inbox.empty:
                    activity.end(worker_id)  # before whoever is answered asks again
                listener.flush()
                # Only now: whoever was answered doesn't wait for it.
                inbox.learn(len(batch), now() - began)
        listener.close()
        sys.exit(0)


def run_batch(
    compute: Compute, inbox: Inbox, batch: list[WaitingWindow], heartbeat: Heartbeat
) -> None:
    """Runs a batch and answers it. One that fails runs again in halves: a bad window fails alone.

    Raises:
        RuntimeError: nothing can be computed here any more.
    """
    model, schedule, _ = batch[0].group
    result: BatchResult | None = None
    picked = now()
    try:
        result = compute.run(model, schedule, [window.ids for window in batch])
    except Exception as error:
        if compute.ended_by(error):
            raise
        failure = repr(error)
        if len(batch) == 1:
            logger.exception("a forward of %s failed on %d tokens", model, batch[0].length)
        else:
            logger.warning("a forward of %s failed on %d windows: %s", model, len(batch), failure)
    if result is not None:
        _answer(compute, inbox, batch, result, picked)
    elif len(batch) == 1:
        inbox.fail(batch[0], "internal", failure)
    else:
        compute.release()  # out of the handler: the error's traceback held the failed tensors
        for half in (batch[: len(batch) // 2], batch[len(batch) // 2 :]):
            heartbeat.beat()
            run_batch(compute, inbox, half, heartbeat)


def _answer(
    compute: Compute,
    inbox: Inbox,
    batch: list[WaitingWindow],
    result: BatchResult,
    picked: float,
) -> None:
    model, schedule, traffic = batch[0].group
    lengths = [window.length for window in batch]
    batch_seconds = result.on_device - picked
    forward_seconds = result.finished - result.on_device
    depths = [compute.sequential_depth(model, length, schedule) for length in lengths]
    computed = compute.computed_tokens(model, lengths)
    facts = BatchFacts(
        model=model,
        schedule=schedule,
        rows=len(batch),
        tokens=sum(lengths),
        padding_tokens=computed - sum(lengths),
        batch_seconds=batch_seconds,
        forward_seconds=forward_seconds,
        flops=sum(compute.flops(model, length) for length in lengths),
        sequential_steps=max(depths),
        traffic=traffic,
    )
    ride = Ride(forward_seconds, len(batch), max(lengths), computed)
    inbox.finish(batch, result.logits, ride, batch_seconds, depths, result.finished)
    batch[0].pending.reply(facts)

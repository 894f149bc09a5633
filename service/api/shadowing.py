"""Shadow traffic: a share of one model's requests, replayed through another after the answer.

    client ◀── answer ── primary
                            └─ a quiet moment later, if no client is in flight ──▶ shadow
                               else dropped, and counted

What the shadow says goes into paired metrics alone: the ratio of the two forwards on the same
texts, and whether the labels agree. It is never queued: the worker drops what it hasn't begun as
soon as a client's request comes (``engine/batcher.py``).
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence

from starlette.background import BackgroundTask

from models.windows import LongInput, PreparedText
from service.api.catalogue import Catalogue
from service.api.errors import ServiceError
from service.api.inference import Inference, Inferred
from service.api.schema import ClassifyRequest
from service.engine.wire import Answer
from service.observe.metrics import Metrics
from service.observe.timing import Stamps, now
from service.settings import ShadowRule

QUIET_SECONDS = 0.005  # without a client: one that asks again at once is not to meet a shadow


class Shadowing:
    """The replays of one API process; one at a time.

    Args:
        rules: which model shadows which, and how often.
        catalogue: what is served.
        inference: how to ask.
        metrics: the paired ones.
        clients: how many requests of clients are in flight here.
    """

    def __init__(
        self,
        rules: Sequence[ShadowRule],
        catalogue: Catalogue,
        inference: Inference,
        metrics: Metrics,
        clients: Callable[[], int],
    ) -> None:
        self._rules, self._catalogue, self._inference = rules, catalogue, inference
        self._metrics, self._clients = metrics, clients
        self._running: asyncio.Task[None] | None = None

    def after(self, inferred: Inferred, asked: ClassifyRequest) -> BackgroundTask | None:
        """What to do once the client has its answer: nothing, or a replay."""
        primary = inferred.folder.name
        chosen = [
            rule
            for rule in self._rules
            if rule.primary == primary and random.random() < rule.share  # noqa: S311
        ]
        if not chosen:
            return None
        return BackgroundTask(self._start, chosen, inferred, asked)

    def close(self) -> None:
        """Ends a replay that runs."""
        if self._running is not None:
            self._running.cancel()

    async def _start(
        self, rules: list[ShadowRule], inferred: Inferred, asked: ClassifyRequest
    ) -> None:
        """Returns at once: the connection that was answered is not kept waiting."""
        if self._running is not None and not self._running.done():
            for rule in rules:
                self._metrics.shadow_dropped(rule.primary, rule.shadow)
            return
        self._running = asyncio.create_task(self._replay(rules, inferred, asked))

    async def _replay(
        self, rules: list[ShadowRule], inferred: Inferred, asked: ClassifyRequest
    ) -> None:
        for rule in rules:
            await asyncio.sleep(QUIET_SECONDS)
            try:
                if self._clients():
                    raise ServiceError("a client came first")
                shadow = await self._ask(rule, inferred, asked)
            except ServiceError:
                self._metrics.shadow_dropped(rule.primary, rule.shadow)
            else:
                self._record(rule, inferred, shadow)

    async def _ask(self, rule: ShadowRule, inferred: Inferred, asked: ClassifyRequest) -> Inferred:
        folder = self._catalogue.folders[rule.shadow]
        stamps = Stamps(received=now())
        prepared = inferred.prepared
        if not all(_whole(text, folder.window) for text in prepared):
            cut: LongInput = "segment" if asked.long_input == "segment" else "truncate"
            prepared = await self._inference.prepare(asked.inputs, folder, cut)
        stamps.parsed = stamps.admitted = now()
        deadline = self._inference.deadline(None, stamps.received)
        return await self._inference.infer(folder, None, prepared, stamps, deadline, "shadow")

    def _record(self, rule: ShadowRule, primary: Inferred, shadow: Inferred) -> None:
        alone = _alone(primary.answer) and _alone(shadow.answer)
        ratio = shadow.stages["forward"] / primary.stages["forward"] if alone else None
        agree = [
            one.label == other.label
            for one, other in zip(primary.verdicts, shadow.verdicts, strict=True)
        ]
        tokens = max(text.tokens for text in primary.prepared)
        self._metrics.shadow(rule.primary, rule.shadow, tokens, ratio, agree)


def _whole(text: PreparedText, window: int | None) -> bool:
    """Whether one model's reading of a text is all of it, and fits another's window."""
    whole = len(text.windows) == 1 and not text.truncated
    return whole and (window is None or text.tokens <= window)


def _alone(answer: Answer) -> bool:
    """Whether its batches held no other request's windows: only then are they the same texts."""
    return sum(ride.rows for ride in answer.rides) == len(answer.logits)

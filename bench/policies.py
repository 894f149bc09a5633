"""Policies of batching: the service's own, and those that others use."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from service.engine.batcher import BatchLimits, Past, next_batch
from service.engine.queue import Group, Queue


@dataclass(frozen=True, slots=True)
class Text:
    """A text that waits, as far as a policy is concerned.

    Attributes:
        number: in the order in which they came.
        group: all of a replay are of one.
        length: in tokens.
        sent: when, in seconds of the replay's clock.
        deadline: none is ever late here.
    """

    number: int
    group: Group
    length: int
    sent: float
    deadline: float = math.inf


class Policy(Protocol):
    """Decides what an idle worker does next."""

    def add(self, text: Text) -> None:
        """It has come."""

    def take(self, now: float) -> list[Text]:
        """The next batch; empty if there is none yet."""

    def wakes(self, now: float) -> float:
        """When to ask again though nothing came."""


class Service:
    """What the service runs, through the very function that it runs.

    Attributes:
        decisions: batches chosen.
        decision_seconds: what choosing them took, in real time.
    """

    def __init__(self, limits: BatchLimits) -> None:
        self._limits, self._past = limits, Past()
        self._queue: Queue[Text] = Queue()
        self.decisions, self.decision_seconds = 0, 0.0

    def add(self, text: Text) -> None:
        self._queue.add(text)

    def take(self, now: float) -> list[Text]:
        if not self._queue:
            self._past = Past()
            return []
        began = time.perf_counter()
        batch, self._past = next_batch(self._queue, self._limits, self._past)
        self._queue.remove(batch)
        self.decision_seconds += time.perf_counter() - began
        self.decisions += 1
        return [place.window for place in batch]

    def wakes(self, now: float) -> float:
        return math.inf


class FirstCome:
    """The oldest texts, whatever their lengths.

    Args:
        most: texts of a batch.
        window_seconds: how long a batch that isn't full is held open once its first text is there
            and the worker is idle.
    """

    def __init__(self, most: int, window_seconds: float = 0.0) -> None:
        self._most, self._window = most, window_seconds
        self._waiting: deque[Text] = deque()
        self._closes = math.inf

    def add(self, text: Text) -> None:
        self._waiting.append(text)

    def take(self, now: float) -> list[Text]:
        if not self._waiting:
            return []
        if self._closes == math.inf:
            self._closes = now + self._window
        if now < self._closes and len(self._waiting) < self._most:
            return []
        self._closes = math.inf
        return [self._waiting.popleft() for _ in range(min(self._most, len(self._waiting)))]

    def wakes(self, now: float) -> float:
        return self._closes


def policies(limits: BatchLimits) -> dict[str, Callable[[], Policy]]:
    """Those that are compared, by name: each call makes one with nothing waiting."""
    return {
        "lockstep": lambda: Service(limits),
        "window 5 ms, 32": lambda: FirstCome(32, 0.005),
        "window 10 ms, 32": lambda: FirstCome(32, 0.010),
        "first come, 32": lambda: FirstCome(32),
        "one at a time": lambda: FirstCome(1),
    }

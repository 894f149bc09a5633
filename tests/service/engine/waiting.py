"""Windows that wait, made for tests of the policy."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from service.engine.queue import Group, Queue
from service.engine.wire import Traffic


@dataclass(frozen=True, eq=False)
class Window:
    length: int
    model: str = "lstm"
    schedule: str | None = None
    traffic: Traffic = "client"
    deadline: float = math.inf

    @property
    def group(self) -> Group:
        return Group(self.model, self.schedule, self.traffic)


def queue_of(windows: Iterable[Window]) -> Queue[Window]:
    """They came in this order."""
    queue: Queue[Window] = Queue()
    for window in windows:
        queue.add(window)
    return queue

"""Which waiting windows make the next batch, and which give way: pure functions of what waits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from service.engine.wire import Traffic

FIRST_BUCKET = 16


class Waiting(Protocol):
    """What the policy looks at: a window that waits for its batch."""

    @property
    def model(self) -> str: ...
    @property
    def schedule(self) -> str | None: ...
    @property
    def traffic(self) -> Traffic: ...
    @property
    def length(self) -> int: ...


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """Bounds of a batch.

    Attributes:
        padded_tokens: most tokens, padding included; a longer window rides alone.
    """

    padded_tokens: int


def length_bucket(length: int) -> int:
    """The bucket's upper edge: 16, 32, 64, … tokens. Within one, little is padding."""
    return max(FIRST_BUCKET, 1 << (length - 1).bit_length())


def next_batch(waiting: Sequence[Waiting], limits: BatchLimits) -> list[int]:
    """Positions in ``waiting``, oldest first, of the windows to run together now.

    The oldest window always goes, so nobody waits behind an unbounded stream of others; it is
    joined by those of its model, schedule, traffic and length bucket, in order of age, as far as
    ``limits`` let them. An idle worker never waits for a batch to fill.
    """
    oldest = waiting[0]
    group = _group(oldest)
    chosen, longest = [0], oldest.length
    for position in range(1, len(waiting)):
        window = waiting[position]
        if _group(window) != group:
            continue
        padded_to = max(longest, window.length)
        if (len(chosen) + 1) * padded_to > limits.padded_tokens:
            break
        chosen.append(position)
        longest = padded_to
    return chosen


def giving_way(waiting: Sequence[Waiting]) -> list[int]:
    """Positions of the shadows that must go because somebody waits for an answer.

    A shadow runs at once on a worker that nobody else wants, or not at all: it is never queued, so
    it can delay a client by the one forward that had begun before the client came.
    """
    shadows = [at for at, window in enumerate(waiting) if window.traffic == "shadow"]
    return shadows if len(shadows) < len(waiting) else []


def _group(window: Waiting) -> tuple[str, str | None, Traffic, int]:
    return window.model, window.schedule, window.traffic, length_bucket(window.length)

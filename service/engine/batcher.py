"""Which waiting windows make the next batch: a pure function of what waits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

FIRST_BUCKET = 16


class Waiting(Protocol):
    """What the policy looks at: a window that waits for its batch."""

    @property
    def model(self) -> str: ...
    @property
    def schedule(self) -> str | None: ...
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
    joined by those of its model, schedule and length bucket, in order of age, as far as
    ``limits`` let them. An idle worker never waits for a batch to fill.
    """
    oldest = waiting[0]
    group = (oldest.model, oldest.schedule, length_bucket(oldest.length))
    chosen, longest = [0], oldest.length
    for position in range(1, len(waiting)):
        window = waiting[position]
        if (window.model, window.schedule, length_bucket(window.length)) != group:
            continue
        padded_to = max(longest, window.length)
        if (len(chosen) + 1) * padded_to > limits.padded_tokens:
            break
        chosen.append(position)
        longest = padded_to
    return chosen

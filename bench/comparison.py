"""What a comparison of servers measures, and what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from bench.contenders import Rival
from bench.turns import Turn
from bench.workloads import Workload


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """How much is measured.

    Attributes:
        clients: that ask each contender.
        growth: that ask the service alone, beyond those, under ``GROWING``.
        sizes: of the baselines' batches, of which the best is found; a single one isn't tried.
        seconds: how long requests are sent in a turn; about what a pass of the offline limit takes.
        rounds: turns of each contender.
        seed: of what is drawn.
    """

    clients: Sequence[int]
    growth: Sequence[int]
    sizes: Sequence[int]
    seconds: float
    rounds: int
    seed: int


@dataclass(slots=True)
class Comparison:
    """One model under one workload.

    Attributes:
        model, free, dtype, schedule: what ran, and how at best.
        workload: what was asked.
        turns: by contender and number of clients, one a round.
        offline: texts a second of the offline limit, one a round; none where there is no forward.
        offline_batches: its texts, and the padded tokens of a batch.
        sweep: requests a second of each tuned baseline by size of batch.
        best: the size that was taken.
        alike: of ``ASKED_ALIKE`` requests, how many each baseline answered with the same labels.
    """

    model: str
    free: bool
    dtype: str
    schedule: str | None
    workload: Workload
    turns: dict[tuple[str, int], list[Turn]] = field(default_factory=dict)
    offline: list[float] = field(default_factory=list)
    offline_batches: tuple[int, int] | None = None
    sweep: dict[Rival, dict[int, float]] = field(default_factory=dict)
    best: dict[Rival, int] = field(default_factory=dict)
    alike: dict[str, int] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """What was compared, in a few words."""
        return f"{self.model}{', free' if self.free else ''}, {self.workload.name}"

    def errors(self) -> list[str]:
        """A line for each contender and number of clients that had any."""
        return [
            f"{self.title}, {clients} clients: {name} left "
            f"{sum(turn.errors.values())} requests unanswered ({turn.errors}): {turn.example}"
            for (name, clients), turns in self.turns.items()
            for turn in turns
            if turn.errors
        ]

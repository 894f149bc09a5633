"""What metrics count, gathered for a moment: many values go into a metric at the cost of a few.

A request leaves some twenty values. To put each into its metric as it comes takes longer than all
else that an event loop does with it, once it is answered; gathered, they are sorted into buckets by
the hundred. Whoever reads folds first, so nobody sees less than what happened. For one API process:
another would see it a moment later.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable

import prometheus_client as prometheus

FOLD_SECONDS = 0.05  # after the first value of a moment


class Tally:
    """Values on their way into metrics. Used, and folded, on one thread.

    Until ``gather`` each goes straight in.
    """

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pending = False
        self._observed: defaultdict[prometheus.Histogram, list[float]] = defaultdict(list)
        self._added: defaultdict[prometheus.Counter | prometheus.Gauge, float] = defaultdict(float)

    def gather(self, loop: asyncio.AbstractEventLoop) -> None:
        """From now on values wait for ``fold``, which ``loop`` calls soon after the first."""
        self._loop, self._pending = loop, False

    def close(self) -> None:
        """Folds; from now on each value goes straight in again."""
        self._loop = None
        self.fold()

    def observe(self, histogram: prometheus.Histogram, value: float) -> None:
        """One value of one series."""
        if self._loop is None:
            histogram.observe(value)
            return
        self._observed[histogram].append(value)
        self._fold_soon()

    def add(self, series: prometheus.Counter | prometheus.Gauge, amount: float = 1) -> None:
        """To one series; an amount below 0 to a gauge alone."""
        if self._loop is None:
            series.inc(amount)
            return
        self._added[series] += amount
        self._fold_soon()

    def fold(self) -> None:
        """Puts what was gathered into its metrics."""
        observed, self._observed = self._observed, defaultdict(list)
        added, self._added = self._added, defaultdict(float)
        for histogram, values in observed.items():
            if len(values) == 1:
                histogram.observe(values[0])
            else:
                observe_all(histogram, values)
        for series, amount in added.items():
            series.inc(amount)

    def _fold_soon(self) -> None:
        if not self._pending and self._loop is not None:
            self._pending = True
            self._loop.call_later(FOLD_SECONDS, self._fold_at_last)

    def _fold_at_last(self) -> None:
        self._pending = False
        self.fold()


def observe_all(histogram: prometheus.Histogram, values: Iterable[float]) -> None:
    """Observes many values of one series; what the library does for one."""
    bounds, total = histogram._upper_bounds, 0.0
    found: Counter[int] = Counter()
    for value in values:
        total += value
        found[bisect_left(bounds, value)] += 1
    histogram._sum.inc(total)
    for place, count in found.items():
        histogram._buckets[place].inc(count)

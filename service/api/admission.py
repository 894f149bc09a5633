"""Who may come in: a bound on the requests in flight, answered at once when it is reached."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from service.api.errors import Busy
from service.observe.metrics import Metrics


class Admission:
    """Counts requests in flight.

    Args:
        limit: most at once in this process.
        metrics: where the gauge is kept.

    Attributes:
        in_flight: requests that are in now.
    """

    def __init__(self, limit: int, metrics: Metrics) -> None:
        self._limit, self._metrics, self.in_flight = limit, metrics, 0

    @contextmanager
    def admit(self, model: str) -> Iterator[None]:
        """Lets a request in for as long as the context lasts.

        Raises:
            Busy: too many are in already.
        """
        if self.in_flight >= self._limit:
            raise Busy(f"{self._limit} requests are in flight, the most allowed; try again shortly")
        self.in_flight += 1
        self._metrics.in_flight(model, 1)
        try:
            yield
        finally:
            self.in_flight -= 1
            self._metrics.in_flight(model, -1)

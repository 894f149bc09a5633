"""Who may come in: bounds on what is in flight, answered at once when one is reached.

    body    ──hold──▶  bytes, in all
    request ──admit──▶ a count, in all and of its model ──weigh──▶ tokens, in all and of its model

An idle service takes any legal request: the bounds on tokens hold only beside others in flight, and
a body may always be as large as all of them. What a client that is refused is told to wait is what
is in, over the pace at which tokens lately left.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from typing import Self

from service.api.errors import Busy
from service.observe.metrics import Metrics
from service.observe.timing import now
from service.settings import Settings

PACE_SECONDS = 10.0  # of work, after which what was seen counts for 1/e


class Admission:
    """What is in flight in this process.

    Args:
        settings: the bounds.
        metrics: where the gauge is kept.
        clock: seconds, ever more.

    Attributes:
        in_flight: requests that are in now.
        tokens: of those of them that are tokenized.
        body_bytes: of the bodies that are being read or answered.
    """

    def __init__(
        self, settings: Settings, metrics: Metrics, clock: Callable[[], float] = now
    ) -> None:
        self._settings, self._metrics = settings, metrics
        self.in_flight = self.tokens = self.body_bytes = 0
        self._requests_of: Counter[str] = Counter()
        self._tokens_of: Counter[str] = Counter()
        self._pace = Pace(clock)

    def admit(self, model: str) -> Admitted:
        """Lets a request in for as long as the context lasts.

        Raises:
            Busy: too many are in already, of all models or of this one.
        """
        most = self._settings.max_in_flight
        share = self._share(most)
        if self.in_flight >= most:
            raise self.busy(f"{most} requests are in flight, the most allowed")
        if self._requests_of[model] >= share:
            raise self.busy(f"{share} requests of {model} are in flight, the most allowed of one")
        return Admitted(self, model)

    def enter(self, model: str) -> None:
        """A request that was let in is in."""
        self._pace.tick(working=self.in_flight > 0)
        self.in_flight += 1
        self._requests_of[model] += 1
        self._metrics.in_flight(model, 1)

    def leave(self, model: str, tokens: int) -> None:
        """A request that was in, with so many tokens, is out."""
        self._pace.tick(working=True)
        self._pace.left(tokens)
        self.in_flight -= 1
        self._requests_of[model] -= 1
        self.tokens -= tokens
        self._tokens_of[model] -= tokens
        self._metrics.in_flight(model, -1)

    def weigh(self, model: str, tokens: int) -> None:
        """Adds the tokens of a request that was admitted.

        Raises:
            Busy: with those in flight they are too many, of all models or of this one.
        """
        most = self._settings.max_in_flight_tokens
        share = self._share(most)
        if self.tokens and self.tokens + tokens > most:
            raise self.busy(f"with these {tokens} tokens more than {most} would be in flight")
        if self._tokens_of[model] and self._tokens_of[model] + tokens > share:
            raise self.busy(f"with these {tokens} tokens more than {share} of {model} would be")
        self.tokens += tokens
        self._tokens_of[model] += tokens

    def hold(self) -> Room:
        """Room for a body, for as long as the context lasts."""
        return Room(self)

    def grow(self, size: int) -> None:
        """Adds bytes of a body. Raises Busy if the bodies held leave no room for them."""
        most = self._settings.max_held_bytes
        if self.body_bytes + size > most:
            raise self.busy(f"with this body more than {most} bytes of bodies would be held")
        self.body_bytes += size

    def busy(self, detail: str) -> Busy:
        """The refusal, with when to come again."""
        return Busy(f"{detail}; try again later", self.retry_seconds())

    def retry_seconds(self) -> int:
        """When what is in flight will have left, in whole seconds; at most the longest it may."""
        self._pace.tick(working=self.in_flight > 0)
        longest = self._settings.request_timeout_ms / 1e3
        return math.ceil(min(max(self._pace.seconds_for(self.tokens), 1.0), max(longest, 1.0)))

    def _share(self, most: int) -> int:
        return max(1, int(most * self._settings.max_model_share))


class Admitted:
    """A request that may come in: it is in for as long as the context lasts.

    Attributes:
        tokens: it was weighed with; 0 until then.
    """

    def __init__(self, admission: Admission, model: str) -> None:
        self._admission, self._model, self.tokens = admission, model, 0

    def __enter__(self) -> Self:
        self._admission.enter(self._model)
        return self

    def __exit__(self, *exception: object) -> None:
        self._admission.leave(self._model, self.tokens)

    def weigh(self, tokens: int) -> None:
        """Says, once, how many tokens it has to be computed. Raises Busy if they are too many."""
        self._admission.weigh(self._model, tokens)
        self.tokens = tokens


class Room:
    """What a body takes up, for as long as the context lasts.

    Attributes:
        size: in bytes.
    """

    def __init__(self, admission: Admission) -> None:
        self._admission, self.size = admission, 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._admission.body_bytes -= self.size

    def add(self, size: int) -> None:
        """Takes so many bytes more. Raises Busy if there is no room for them."""
        self._admission.grow(size)
        self.size += size


class Pace:
    """Tokens that left a second of work, of late: both sums fade as work goes on."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock, self._last = clock, clock()
        self._tokens = self._seconds = 0.0

    def tick(self, *, working: bool) -> None:
        """Counts the time since the last tick, if something was in flight in it."""
        before, self._last = self._last, self._clock()
        if working:
            passed = self._last - before
            faded = math.exp(-passed / PACE_SECONDS)
            self._tokens *= faded
            self._seconds = self._seconds * faded + passed

    def left(self, tokens: int) -> None:
        """So many have just left."""
        self._tokens += tokens

    def seconds_for(self, tokens: int) -> float:
        """How long so many will take; before anything has left, as long as it has taken so far."""
        if not self._tokens:
            return self._seconds
        return tokens * self._seconds / self._tokens

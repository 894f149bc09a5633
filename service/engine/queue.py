"""The windows that wait, in the orders in which the policy looks at them: by length and by age."""

from __future__ import annotations

import heapq
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, NamedTuple, Protocol, TypeVar

from service.engine.wire import Traffic

FIRST_BUCKET = 16
FEWEST_DEADLINES = 1024  # below it, those of windows that wait no more aren't worth looking for


class Group(NamedTuple):
    """What one forward can hold: windows of one model under one schedule, for one purpose."""

    model: str
    schedule: str | None
    traffic: Traffic


class Window(Protocol):
    """What waits: tokens of a text, for a model and a schedule, until a deadline."""

    @property
    def group(self) -> Group: ...
    @property
    def length(self) -> int: ...
    @property
    def deadline(self) -> float: ...


W = TypeVar("W", bound=Window)


def length_bucket(length: int) -> int:
    """The power of two, 16 at least, that ``length`` tokens fit in."""
    return max(FIRST_BUCKET, 1 << (length - 1).bit_length())


class Place(Generic[W]):
    """A window's place in the queue.

    Attributes:
        window: that waits.
        number: how many came before it, ever.
        by_length: its length, then its number.
        bucket: of its length.
        waits: until it is removed.
    """

    __slots__ = ("bucket", "by_length", "number", "waits", "window")

    def __init__(self, window: W, number: int) -> None:
        self.window, self.number = window, number
        self.by_length = window.length, number
        self.bucket = length_bucket(window.length)
        self.waits = True

    @property
    def length(self) -> int:
        return self.by_length[0]


@dataclass(slots=True)
class Line(Generic[W]):
    """The windows of one group.

    Attributes:
        places: by length; the older first, where equal.
        ages: by bucket, the oldest first; only the first surely waits.
    """

    places: list[Place[W]]
    ages: dict[int, deque[Place[W]]]

    def position(self, place: Place[W]) -> int:
        """Where in ``places`` a place is."""
        return bisect_left(self.places, place.by_length, key=_by_length)


class Queue(Generic[W]):
    """Windows that wait. Adding or removing one costs little however many there are.

    Attributes:
        lines: by group; none is empty.
        arrivals: windows that ever came.
    """

    def __init__(self) -> None:
        self.lines: dict[Group, Line[W]] = {}
        self.arrivals = 0
        self._deadlines: list[tuple[float, int, Place[W]]] = []
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, window: W) -> Place[W]:
        """The youngest from now on."""
        place = Place(window, self.arrivals)
        line = self.lines.setdefault(window.group, Line([], {}))
        insort(line.places, place, key=_by_length)
        line.ages.setdefault(place.bucket, deque()).append(place)
        heapq.heappush(self._deadlines, (window.deadline, place.number, place))
        self.arrivals += 1
        self._count += 1
        return place

    def remove(self, places: Sequence[Place[W]]) -> None:
        """Takes out those of ``places`` that still wait."""
        for place in places:
            if place.waits:
                place.waits = False
                self._count -= 1
                self._take_out(place)
        if len(self._deadlines) > max(FEWEST_DEADLINES, 2 * self._count):
            self._deadlines = [entry for entry in self._deadlines if entry[2].waits]
            heapq.heapify(self._deadlines)

    def _take_out(self, place: Place[W]) -> None:
        line = self.lines[place.window.group]
        del line.places[line.position(place)]
        ages = line.ages[place.bucket]
        while ages and not ages[0].waits:
            ages.popleft()
        if not ages:
            del line.ages[place.bucket]
        if not line.places:
            del self.lines[place.window.group]

    def oldest_of_each(self) -> Iterator[Place[W]]:
        """The oldest window of each group and bucket."""
        for line in self.lines.values():
            for ages in line.ages.values():
                yield ages[0]

    def late(self, now: float) -> list[Place[W]]:
        """Places of the windows whose deadline has passed; they go on waiting until removed."""
        found = []
        while self._deadlines and self._deadlines[0][0] < now:
            place = heapq.heappop(self._deadlines)[2]
            if place.waits:
                found.append(place)
        return found


def _by_length(place: Place[W]) -> tuple[int, int]:
    return place.by_length

"""Traffic to replay: texts' lengths, and when each is sent. Seeded, so it can be had again."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

# Where no data are given, half the texts are of each: median and spread of ln(tokens), as fitted to
# SST-2's dev sentences and IMDB's dev reviews by MiniLM's tokens.
MADE_LENGTHS = ((23.1, 0.46), (238.0, 0.64))
SHORTEST = 3  # a word between the two special tokens


@dataclass(frozen=True, slots=True)
class Texts:
    """Lengths to draw from: a source, each as likely as another, then a text of it.

    Attributes:
        sources: tokens of each text, by the source's name.
    """

    sources: dict[str, Sequence[int]]

    def draw(self, generator: random.Random) -> int:
        """Tokens of one text."""
        return generator.choice(self.sources[generator.choice(list(self.sources))])


def made_texts(count: int, window: int, seed: int) -> Texts:
    """Short and long texts, made up, none longer than ``window`` tokens."""
    generator = random.Random(seed)
    return Texts(
        {
            name: [
                max(SHORTEST, min(window, round(median * generator.lognormvariate(0, spread))))
                for _ in range(count)
            ]
            for name, (median, spread) in zip(("short", "long"), MADE_LENGTHS, strict=True)
        }
    )


@dataclass(frozen=True, slots=True)
class Poisson:
    """Texts come at random times, whether or not those before are answered.

    Attributes:
        rate: mean texts a second.
    """

    rate: float

    def __str__(self) -> str:
        return f"{self.rate:g} texts a second at random times"

    def begin(self, count: int, generator: random.Random) -> list[float]:
        """When the texts come that wait for no answer, of ``count``; in seconds."""
        return list(accumulate(generator.expovariate(self.rate) for _ in range(count)))

    def answered(self, at: float) -> float | None:
        """When an answer makes a text come; None: it makes none."""
        return None


@dataclass(frozen=True, slots=True)
class Clients:
    """Each client sends its next text when it has the answer to the one before.

    Attributes:
        count: of clients.
        turnaround_seconds: from the end of a forward to that client's next text at the worker.
    """

    count: int
    turnaround_seconds: float = 0.0005

    def __str__(self) -> str:
        return f"{self.count} clients" if self.count > 1 else "1 client"

    def begin(self, count: int, generator: random.Random) -> list[float]:
        """When the texts come that wait for no answer, of ``count``; in seconds."""
        return [self.turnaround_seconds * generator.random() for _ in range(min(self.count, count))]

    def answered(self, at: float) -> float | None:
        """When an answer makes a text come; None: it makes none."""
        return at + self.turnaround_seconds


Traffic = Poisson | Clients

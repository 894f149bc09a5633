"""A clock that stands still until a test moves it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Clock:
    """Seconds, moved by hand."""

    seconds: float = 0.0

    def __call__(self) -> float:
        return self.seconds

"""A batch laid out for native attention: its texts alone, one after another."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import Tensor

from models.attention import attend_texts
from models.layout import Layout
from models.rotation import waves


@dataclass(frozen=True, slots=True, kw_only=True)
class Line(Layout):
    """Texts alone.

    Attributes:
        starts: (B + 1,) int32, where each text begins, and where the last ends.
        longest: tokens of the longest.
    """

    starts: Tensor
    longest: int

    @classmethod
    def of(cls, lengths: Sequence[int], T: int) -> Line:
        """Of texts with so many tokens each, in a batch of T places each."""
        starts = array("i", accumulate(lengths, initial=0))
        tokens = places = None
        if starts[-1] < T * len(lengths):
            tokens, places = array("q"), array("q")
            for text, length in enumerate(lengths):
                tokens.extend(range(text * T, text * T + length))
                places.extend(range(starts[text], starts[text] + length))
                places.extend([starts[text]] * (T - length))
        return cls(
            batch=(len(lengths), T),
            tokens=None if tokens is None else torch.frombuffer(tokens, dtype=torch.int64),
            places=None if places is None else torch.frombuffer(places, dtype=torch.int64),
            starts=torch.frombuffer(starts, dtype=torch.int32),
            longest=max(lengths),
        )

    def biases(self, dtype: torch.dtype) -> list[Tensor | None]:
        return []

    def rotation(self, angles: Tensor, dtype: torch.dtype) -> Tensor:
        return waves(angles[: self.longest])

    def attend(
        self,
        projected: Tensor,
        biases: Sequence[Tensor | None],
        rotation: Tensor | None = None,
    ) -> Tensor:
        return attend_texts(projected, self.starts, self.longest, rotation)

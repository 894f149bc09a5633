"""A batch laid out for a native call: its texts alone, one after another."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from itertools import accumulate
from typing import Self

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """Texts, and where their tokens were in a batch.

    Attributes:
        batch: (B, T), as it came.
        starts: (B + 1,) int32, where each text begins, and where the last ends.
        count: N, of all tokens.
        longest: tokens of the longest text.
        tokens: (N,) what stands in each place, as places in the flattened batch; None where that
            is the batch.
        places: (B·T,) the other way round; padding has a place of a token's.
    """

    batch: tuple[int, int]
    starts: Tensor
    count: int
    longest: int
    tokens: Tensor | None = None
    places: Tensor | None = None

    @classmethod
    def of(cls, attention_mask: Tensor) -> Self:
        """Of a batch with this mask, (B, T)."""
        T = attention_mask.shape[1]
        lengths = attention_mask.sum(1).tolist()
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
            starts=torch.frombuffer(starts, dtype=torch.int32),
            count=starts[-1],
            longest=max(lengths),
            tokens=None if tokens is None else torch.frombuffer(tokens, dtype=torch.int64),
            places=None if places is None else torch.frombuffer(places, dtype=torch.int64),
        )

    def gather(self, batch: Tensor) -> Tensor:
        """(B, T, …) -> (N, …)."""
        flat = batch.flatten(0, 1)
        return flat if self.tokens is None else flat.index_select(0, self.tokens)

    def spread(self, hidden_states: Tensor) -> Tensor:
        """(N, D) -> (B, T, D)."""
        if self.places is not None:
            hidden_states = hidden_states.index_select(0, self.places)
        return hidden_states.view(*self.batch, -1)

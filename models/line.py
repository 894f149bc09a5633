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
    """

    batch: tuple[int, int]
    starts: Tensor
    count: int
    longest: int
    tokens: Tensor | None = None

    @classmethod
    def of(cls, attention_mask: Tensor) -> Self:
        """Of a batch with this mask, (B, T)."""
        B, T = attention_mask.shape
        lengths = attention_mask.sum(1).tolist()
        starts = array("i", accumulate(lengths, initial=0))
        padded = starts[-1] < B * T
        return cls(
            batch=(B, T),
            starts=torch.frombuffer(starts, dtype=torch.int32),
            count=starts[-1],
            longest=max(lengths),
            tokens=attention_mask.flatten().nonzero().squeeze(1) if padded else None,
        )

    def gather(self, batch: Tensor) -> Tensor:
        """(B, T, …) -> (N, …)."""
        flat = batch.flatten(0, 1)
        return flat if self.tokens is None else flat.index_select(0, self.tokens)

    def spread(self, hidden_states: Tensor) -> Tensor:
        """(N, D) -> (B, T, D), zeros at padding."""
        B, T = self.batch
        if self.tokens is not None:
            padded = hidden_states.new_zeros(B * T, hidden_states.shape[1])
            hidden_states = padded.index_copy_(0, self.tokens, hidden_states)
        return hidden_states.view(B, T, -1)

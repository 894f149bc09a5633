"""A batch's real tokens alone, as a recurrence reads them.

    the batch   a a a a       steps   a b c
                b b . .               a b c
                c c c .               a c
                                      a

torch's ``PackedSequence``: the longest text first, the first token of each, then the second of
those that have one, and so on. Each step's tokens lie side by side, and no padding is among them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence


@dataclass(frozen=True, slots=True)
class Ragged:
    """What is known of each token.

    Attributes:
        packed: (N, D), in torch's order.
        rows: (T',) int32, how many texts have a token at each step.
        length: T of the batch.
    """

    packed: PackedSequence
    rows: Tensor
    length: int

    @classmethod
    def of(cls, hidden_states: Tensor, attention_mask: Tensor) -> Self:
        """Of a padded batch, (B, T, D) and (B, T), on a CPU."""
        lengths = attention_mask.sum(1)
        packed = pack_padded_sequence(
            hidden_states, lengths, batch_first=True, enforce_sorted=False
        )
        return cls(packed, packed.batch_sizes.to(torch.int32), hidden_states.shape[1])

    @property
    def tokens(self) -> Tensor:
        """(N, D)."""
        return self.packed.data

    def with_tokens(self, tokens: Tensor) -> Self:
        """Of the same batch, something else: (N, D')."""
        return type(self)(self.packed._replace(data=tokens), self.rows, self.length)

    def padded(self) -> Tensor:
        """(B, T, D), zeros at padding."""
        return pad_packed_sequence(self.packed, batch_first=True, total_length=self.length)[0]

"""The embedding table that every model shares: read once, never trained."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class FrozenEmbedding(nn.Module):
    """A lookup table of V rows, E wide, that no optimizer sees and no state dict holds.

    One instance is handed to every classifier of a process, so a table of V·E numbers is in memory
    once however many models are served.

    Args:
        weight: (V, E), of any floating dtype.
    """

    weight: Tensor

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.register_buffer("weight", weight, persistent=False)

    @property
    def vocab_size(self) -> int:
        return self.weight.shape[0]

    @property
    def width(self) -> int:
        return self.weight.shape[1]

    def forward(self, input_ids: Tensor) -> Tensor:
        """(B, T) int64 -> (B, T, E)."""
        return nn.functional.embedding(input_ids, self.weight)

    @classmethod
    def random(cls, vocab_size: int, width: int, seed: int = 0) -> FrozenEmbedding:
        """A table of unit-variance noise, for tests and for measuring without weights."""
        generator = torch.Generator().manual_seed(seed)
        return cls(torch.randn(vocab_size, width, generator=generator))

"""What encoders with a recurrence have in common: how texts reach it, and what they cost."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor, nn

from models.base import Encoder
from models.embedding import FrozenEmbedding
from models.pooling import Pooling
from models.ragged_layers import RaggedLayers, can_embed
from models.reader import FORMATS, Reader
from models.recurrence import Recurrence


class RecurrentEncoder(Encoder):
    """An encoder whose states are handed from word to word."""

    stride: ClassVar[int] = 1

    @abstractmethod
    def native(self, embeddings: Tensor, rows: Tensor) -> Tensor:
        """As ``Recurrence.native``, of all of them, where they have native calls."""

    def reader(
        self, embedding: FrozenEmbedding, pooling: Pooling, head: nn.Linear, window: int | None
    ) -> Reader | None:
        table = embedding.weight
        if self.pads or table.dtype not in FORMATS or not can_embed(table.shape[1]):
            return None
        layers = RaggedLayers(self.native, table.shape[1], self.output_size)
        return Reader(layers, table, pooling, head, window)

    @property
    def pads(self) -> bool:
        recurrences = [one for one in self.modules() if isinstance(one, Recurrence)]
        return not all(one.is_native for one in recurrences)

    def computed_tokens(self, lengths: Sequence[int], T: int) -> int:
        return T * len(lengths) if self.pads else sum(lengths)

    def reach(self) -> tuple[int | None, ...]:
        return (0,)  # its own word; every step before has handed on what it knew

"""What encoders that attend have in common: what of a batch is computed, and by whose calls."""

from __future__ import annotations

import sys
from abc import abstractmethod
from collections.abc import Sequence

from torch import Tensor, nn

from models.arrangement import arrange
from models.attention import UNMASKED
from models.base import Encoder, Schedule
from models.embedding import FrozenEmbedding
from models.layout import Layout
from models.pooling import Pooling
from models.reader import FORMATS, Reader
from models.rows import answers_on_cpu
from models.shared_weights import Hold, own
from models.stack import Parts, Stack, can_run


class AttendingEncoder(Encoder):
    """An encoder whose layers read every token by itself, but for attention.

    Attributes:
        share_rows: whether torch's calls may have a batch laid out with hardly any padding
            (``layout.py``).
    """

    exact_up_to: int = UNMASKED
    share_rows: bool = True
    _stack: Stack | None = None

    @property
    @abstractmethod
    def num_layers(self) -> int:
        """Of attention."""

    @abstractmethod
    def parts(self) -> Parts | None:
        """What a native call would run; None where none could."""

    @abstractmethod
    def place(self, embeddings: Tensor) -> Tensor:
        """What is told of positions before all layers: (B, T, E) -> (B, T, E)."""

    @abstractmethod
    def read(self, embeddings: Tensor, layout: Layout) -> Tensor:
        """All layers by torch's calls, as ``layout`` gathers (B, T, E) -> (…, D)."""

    def forward(
        self, embeddings: Tensor, attention_mask: Tensor, schedule: Schedule | None = None
    ) -> Tensor:
        embeddings = self.place(embeddings)
        if self._stack is not None:
            assert answers_on_cpu(embeddings), "its weights are laid out for `native`"
            hidden_states = embeddings.new_zeros(*attention_mask.shape, self.output_size)
            lengths = attention_mask.sum(1).tolist()
            hidden_states[attention_mask] = self._stack(embeddings[attention_mask], lengths)
            return hidden_states
        layout = Layout.of(attention_mask, share=self.share_rows)
        return layout.spread(self.read(layout.gather(embeddings), layout))

    def reader(
        self, embedding: FrozenEmbedding, pooling: Pooling, head: nn.Linear, window: int | None
    ) -> Reader | None:
        table = embedding.weight
        if self._stack is None or table.dtype not in FORMATS:
            return None
        return Reader(self._stack, table, pooling, head, window)

    def pack(self, hold: Hold = own) -> None:
        parts = self.parts()
        if parts is not None and can_run(parts):
            self._stack = Stack(parts, hold)
            self.exact_up_to = sys.maxsize  # it meets no length for the first time
        else:
            super().pack(hold)

    @property
    def is_native(self) -> bool:
        """Whether it is run by one native call."""
        return self._stack is not None

    @property
    def pads(self) -> bool:
        return not (self.is_native or self.share_rows)

    def computed_tokens(self, lengths: Sequence[int], T: int) -> int:
        if self.is_native:
            return sum(lengths)
        blocks = arrange(tuple(lengths), T) if self.share_rows else None
        if blocks is None:
            return T * len(lengths)
        return sum(block.length * len(block.rows) for block in blocks)

    def sequential_depth(self, length: int, schedule: Schedule | None = None) -> int:
        return self.num_layers

    def reach(self) -> tuple[int | None, ...]:
        return (None,)

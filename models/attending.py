"""What encoders that attend have in common: how a batch is laid out, and what of it is computed."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor

from models.arrangement import arrange
from models.attention import UNMASKED, can_attend, padding_mask
from models.base import Encoder, Schedule
from models.layout import Layout
from models.line import Line
from models.rows import answers_on_cpu
from models.shared_rows import Part, SharedRows


class AttendingEncoder(Encoder):
    """An encoder whose layers read every token by itself, but for attention.

    Attributes:
        share_rows: whether a batch may be laid out with hardly any padding (``layout.py``).
        plain_scores: whether attention adds nothing to a score: only then it can be native.
    """

    exact_up_to: ClassVar[int] = UNMASKED
    plain_scores: ClassVar[bool] = True
    share_rows: bool = True

    @property
    @abstractmethod
    def num_layers(self) -> int:
        """Of attention."""

    @property
    @abstractmethod
    def head_size(self) -> int:
        """Features of a head."""

    @property
    def is_native(self) -> bool:
        """Whether on a CPU attention is a native call."""
        dtype = next(self.parameters()).dtype
        return self.share_rows and self.plain_scores and can_attend(self.head_size, dtype)

    @property
    def pads(self) -> bool:
        return not self.share_rows

    def computed_tokens(self, lengths: Sequence[int], T: int) -> int:
        if self.is_native:
            return sum(lengths)
        blocks = arrange(tuple(lengths), T) if self.share_rows else None
        if blocks is None:
            return T * len(lengths)
        return sum(block.length * len(block.rows) for block in blocks)

    def lay_out(self, attention_mask: Tensor) -> Layout:
        """The layout of a batch with this mask, (B, T)."""
        native = answers_on_cpu(attention_mask) and self.is_native
        return lay_out(attention_mask, share=self.share_rows, native=native)

    def sequential_depth(self, length: int, schedule: Schedule | None = None) -> int:
        return self.num_layers

    def reach(self) -> tuple[int | None, ...]:
        return (None,)


def lay_out(attention_mask: Tensor, *, share: bool = True, native: bool = False) -> Layout:
    """The layout of a batch with this mask, (B, T).

    Args:
        attention_mask: True = a real token; True comes first in each row.
        share: whether it may be laid out anew.
        native: whether attention is.
    """
    B, T = attention_mask.shape
    flat = answers_on_cpu(attention_mask)
    if flat and share:
        lengths = tuple(attention_mask.sum(1).tolist())
        if native:
            return Line.of(lengths, T)
        blocks = arrange(lengths, T)
        if blocks is not None:
            return SharedRows.of(lengths, T, blocks)
    whole = Part(slice(0, B * T), (B, T), padding_mask(attention_mask))
    return SharedRows(batch=(B, T), parts=(whole,), flat=flat)

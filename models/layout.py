"""Where a batch's tokens lie while a Transformer's layers read them: with hardly any padding.

Layers but for attention read every token by itself, all of them in one line. What attention reads
is laid out in one of two ways.

    the batch   a a a a a a a a a a       in rows   a a a a a a a a a a .
                b b b b b b b b . .                 b b b b b b b b .
                c c c . . . . . . .                 c c c d d
                d d . . . . . . . .                 e e e e .
                e e e e . . . . . .
                                          texts     a a a a a a a a a a b b b b b b b b c c c d d …

``line.py``: texts alone, one after another, where attention is native.

``shared_rows.py``, for torch's kernel, which goes through those of one length at a time: a long
text has its own, about as long as it is, and short ones share some (sequence packing, Krell et al.
2021, arXiv 2107.02027), where a token sees those of its own text alone. Rows are as long as
attention reads them fastest: on one core with matrix units and in bfloat16 a token took it 0.9 to
1.5 µs in rows of a multiple of 16, and 1.5 to 2.7 in others, whose last few places are read one by
one.

On a CPU, in answer to somebody. In training and on a GPU the batch is read as it came.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from models.rows import fill, in_parts


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout(ABC):
    """A batch, laid out.

    Attributes:
        batch: (B, T), as it came.
        tokens: (N,) what stands in each place, as places in the flattened batch; None where that
            is the batch.
        places: (B·T,) the other way round; padding has a place of a token's.
        flat: whether layers read places in one line, of a usual number (``rows.py``).
    """

    batch: tuple[int, int]
    tokens: Tensor | None = None
    places: Tensor | None = None
    flat: bool = True

    @abstractmethod
    def biases(self, dtype: torch.dtype) -> list[Tensor | None]:
        """What attention adds to scores beside what the encoder wants, of each part of it."""

    @abstractmethod
    def rotation(self, angles: Tensor, dtype: torch.dtype) -> Tensor:
        """Of each position's angles, (T, hs / 2), what ``attend`` takes."""

    @abstractmethod
    def attend(
        self,
        projected: Tensor,
        biases: Sequence[Tensor | None],
        rotation: Tensor | None = None,
    ) -> Tensor:
        """Every text's attention over itself, (N, 3, nh, hs) -> (N, nh·hs).

        Args:
            projected: query, key and value of each place.
            biases: as ``biases`` gives them, or more.
            rotation: of queries and keys, if they are to be turned for their positions.
        """

    def gather(self, hidden_states: Tensor) -> Tensor:
        """The batch as layers read it: (B, T, D) -> (N, D), or unchanged unless ``flat``."""
        if not self.flat:
            return hidden_states
        if self.tokens is None:
            return fill(hidden_states)
        return fill(hidden_states.flatten(0, 1).index_select(0, self.tokens))

    def by_token(self, layers: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
        """What layers that read each token by itself make of tensors as ``gather`` gives them."""
        return in_parts(layers, *inputs) if self.flat else layers(*inputs)

    def spread(self, hidden_states: Tensor) -> Tensor:
        """As the batch came: (N, D) -> (B, T, D), or unchanged unless ``flat``."""
        if not self.flat:
            return hidden_states
        B, T = self.batch
        if self.places is None:
            return hidden_states[: B * T].view(B, T, -1)
        return hidden_states.index_select(0, self.places).view(B, T, -1)

"""Where a batch's tokens lie while a Transformer's layers read them: rows with hardly any padding.

    the batch   a a a a a a a a a a       its rows   a a a a a a a a a a .
                b b b b b b b b . .                  b b b b b b b b .
                c c c . . . . . . .                  c c c d d
                d d . . . . . . . .                  e e e e .
                e e e e . . . . . .

Layers but for attention read every token by itself, all of them in one line. Attention goes through
the rows, those of one length at a time: a long text has its own, about as long as it is, and short
ones share some (sequence packing, Krell et al. 2021, arXiv 2107.02027), where a token sees those of
its own text alone. So texts of any lengths make a batch, and rows are as long as attention reads
them fastest: on one core with matrix units and in bfloat16 a token took it 0.9 to 1.5 µs in rows of
a multiple of 16, and 1.5 to 2.7 in others, whose last few places are read one by one.

On a CPU, in answer to somebody. In training and on a GPU the batch is read as it came.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from models.arrangement import Block, arrange
from models.attention import attend, padding_mask
from models.rows import answers_on_cpu, fill, fill_rows, in_parts


@dataclass(frozen=True, slots=True)
class Rows:
    """A block, laid out.

    Attributes:
        places: where it lies in the line.
        shape: (R, L).
        mask: True where a token may be attended to, (R, 1, 1, L) of each or (R, 1, L, L) of pairs
            of them; None where everything may.
    """

    places: slice
    shape: tuple[int, int]
    mask: Tensor | None

    def bias(self, dtype: torch.dtype) -> Tensor | None:
        """The mask, as what is added to scores in ``dtype``."""
        if self.mask is None:
            return None
        bias = torch.zeros_like(self.mask, dtype=dtype)
        return bias.masked_fill_(~self.mask, torch.finfo(dtype).min)


@dataclass(frozen=True, slots=True)
class Layout:
    """A batch, laid out.

    Attributes:
        batch: (B, T), as it came.
        blocks: its rows.
        tokens: (N,) what stands in each place, as places in the flattened batch; None where that
            is the batch.
        places: (B·T,) the other way round; padding has a place of a token's.
        flat: whether layers read places in one line, of a usual number (``rows.py``).
    """

    batch: tuple[int, int]
    blocks: tuple[Rows, ...]
    tokens: Tensor | None = None
    places: Tensor | None = None
    flat: bool = False

    @classmethod
    def of(cls, attention_mask: Tensor, *, share: bool = True) -> Self:
        """Of a batch with this mask, (B, T).

        Args:
            attention_mask: True = a real token; True comes first in each row.
            share: whether it may be laid out anew.
        """
        B, T = attention_mask.shape
        flat = answers_on_cpu(attention_mask)
        if flat and share:
            lengths = tuple(attention_mask.sum(1).tolist())
            blocks = arrange(lengths, T)
            if blocks is not None:
                return cls._laid_out(lengths, T, blocks)
        rows = Rows(slice(0, B * T), (B, T), padding_mask(attention_mask))
        return cls((B, T), (rows,), flat=flat)

    @classmethod
    def _laid_out(cls, lengths: Sequence[int], T: int, blocks: Sequence[Block]) -> Self:
        tokens = array("q")
        places = array("q", bytes(8 * T * len(lengths)))
        laid_out = []
        for L, rows in blocks:
            start = len(tokens)
            texts = array("i")  # whose each place is
            for row in rows:
                for text in row:
                    length, first, at = lengths[text], text * T, len(tokens)
                    places[first : first + length] = array("q", range(at, at + length))
                    tokens.extend(range(first, first + length))
                    texts.extend([text] * length)
                padding = -len(texts) % L
                tokens.extend([0] * padding)  # any token will do: nobody looks there
                texts.extend([-1] * padding)
            of_text = torch.frombuffer(texts, dtype=torch.int32).view(len(rows), 1, 1, L)
            mask = None
            if any(len(row) > 1 for row in rows):
                mask = of_text == of_text.mT  # (R, 1, L, L)
            elif -1 in texts:
                mask = of_text >= 0
            laid_out.append(Rows(slice(start, len(tokens)), (len(rows), L), mask))
        return cls(
            (len(lengths), T),
            tuple(laid_out),
            torch.frombuffer(tokens, dtype=torch.int64),
            torch.frombuffer(places, dtype=torch.int64),
            flat=True,
        )

    def biases(self, dtype: torch.dtype) -> list[Tensor | None]:
        """The blocks' masks as attention takes them: as what is added to scores where ``flat``."""
        return [rows.bias(dtype) if self.flat else rows.mask for rows in self.blocks]

    def gather(self, hidden_states: Tensor) -> Tensor:
        """The batch as layers read it: (B, T, D) -> (N, D), or unchanged unless ``flat``."""
        if not self.flat:
            return hidden_states
        if self.tokens is None:
            return fill(hidden_states)
        return fill(hidden_states.flatten(0, 1).index_select(0, self.tokens))

    def by_place(self, of_position: Tensor) -> Tensor:
        """What is known of each position in a text, (T, …), for each place of the line, (N, …)."""
        B, T = self.batch
        if self.tokens is not None:
            found = of_position.index_select(0, self.tokens % T)
        else:
            found = of_position.repeat(B, *[1] * (of_position.ndim - 1))
        return fill_rows(found) if self.flat else found

    def attend(
        self, query: Tensor, key: Tensor, value: Tensor, biases: Sequence[Tensor | None]
    ) -> Tensor:
        """Every text's attention over itself, each (N, nh, hs) -> (N, D).

        Args:
            query: of each place.
            key: of each place.
            value: of each place.
            biases: of each block, as ``attend`` takes them.
        """
        N, nh, hs = query.shape
        if not self.flat:
            return self._attend(self.blocks[0], query, key, value, biases[0]).reshape(N, nh * hs)
        attended = query.new_empty(N, nh, hs)
        for rows, bias in zip(self.blocks, biases, strict=True):
            part = attended[rows.places].view(*rows.shape, nh, hs)
            part.copy_(self._attend(rows, query, key, value, bias))
        attended[self.blocks[-1].places.stop :] = 0.0
        return attended.view(N, nh * hs)

    @staticmethod
    def _attend(
        rows: Rows, query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None
    ) -> Tensor:
        """Of a block: (R, L, nh, hs)."""
        parts = [  # each (R, nh, L, hs)
            states[rows.places].view(*rows.shape, *states.shape[1:]).transpose(1, 2)
            for states in (query, key, value)
        ]
        return attend(parts[0], parts[1], parts[2], bias).transpose(1, 2)

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

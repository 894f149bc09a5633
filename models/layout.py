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

On a CPU, in answer to somebody, and by torch's calls: a native one reads texts alone (``line.py``).
In training and on a GPU the batch is read as it came.
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
from models.rotation import rotate, waves
from models.rows import answers_on_cpu, fill, fill_rows, in_parts


@dataclass(frozen=True, slots=True)
class Part:
    """Rows of one length.

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """A batch, laid out.

    Attributes:
        batch: (B, T), as it came.
        parts: its rows, those of one length together.
        tokens: (N,) what stands in each place, as places in the flattened batch; None where that
            is the batch.
        places: (B·T,) the other way round; padding has a place of a token's.
        flat: whether layers read places in one line, of a usual number (``rows.py``).
    """

    batch: tuple[int, int]
    parts: tuple[Part, ...]
    tokens: Tensor | None = None
    places: Tensor | None = None
    flat: bool = True

    @classmethod
    def of(cls, attention_mask: Tensor, *, share: bool = True) -> Self:
        """The layout of a batch with this mask, (B, T).

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
                return cls._of_blocks(lengths, T, blocks)
        whole = Part(slice(0, B * T), (B, T), padding_mask(attention_mask))
        return cls(batch=(B, T), parts=(whole,), flat=flat)

    @classmethod
    def _of_blocks(cls, lengths: Sequence[int], T: int, blocks: Sequence[Block]) -> Self:
        """Of texts with so many tokens each, in a batch of T places each, as ``arrange`` says."""
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
            laid_out.append(Part(slice(start, len(tokens)), (len(rows), L), mask))
        return cls(
            batch=(len(lengths), T),
            parts=tuple(laid_out),
            tokens=torch.frombuffer(tokens, dtype=torch.int64),
            places=torch.frombuffer(places, dtype=torch.int64),
        )

    def biases(self, dtype: torch.dtype) -> list[Tensor | None]:
        """The parts' masks as attention takes them: as what is added to scores where ``flat``."""
        return [part.bias(dtype) if self.flat else part.mask for part in self.parts]

    def rotation(self, angles: Tensor, dtype: torch.dtype) -> Tensor:
        """Cosines and sines of each place's pairs, each pair's twice: (2, N, 1, 1, hs)."""
        of_position = waves(torch.cat((angles, angles), dim=-1)).to(dtype)  # (2, T, hs)
        return self._by_place(of_position.transpose(0, 1)).transpose(0, 1)[:, :, None, None]

    def _by_place(self, of_position: Tensor) -> Tensor:
        """What is known of each position in a text, (T, …), for each place of the line, (N, …)."""
        B, T = self.batch
        if self.tokens is not None:
            found = of_position.index_select(0, self.tokens % T)
        else:
            found = of_position.repeat(B, *[1] * (of_position.ndim - 1))
        return fill_rows(found) if self.flat else found

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
        N, _, nh, hs = projected.shape
        value = projected[:, 2]
        turned = projected[:, :2] if rotation is None else rotate(projected[:, :2], *rotation)
        query, key = turned.unbind(1)  # each (N, nh, hs)
        if not self.flat:
            return _attend(self.parts[0], query, key, value, biases[0]).reshape(N, nh * hs)
        attended = projected.new_empty(N, nh, hs)
        for part, bias in zip(self.parts, biases, strict=True):
            rows = attended[part.places].view(*part.shape, nh, hs)
            rows.copy_(_attend(part, query, key, value, bias))
        attended[self.parts[-1].places.stop :] = 0.0
        return attended.view(N, nh * hs)

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


def _attend(part: Part, query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None) -> Tensor:
    """Of each row by itself: (R, L, nh, hs)."""
    rows = [  # each (R, nh, L, hs)
        states[part.places].view(*part.shape, *states.shape[1:]).transpose(1, 2)
        for states in (query, key, value)
    ]
    return attend(rows[0], rows[1], rows[2], bias).transpose(1, 2)

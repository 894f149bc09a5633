"""A batch laid out for torch's attention: rows of its texts' own lengths, some shared."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from models.arrangement import Block
from models.attention import attend
from models.layout import Layout
from models.rotation import rotate, waves
from models.rows import fill_rows


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
class SharedRows(Layout):
    """Rows for torch's kernel.

    Attributes:
        parts: those of one length together.
    """

    parts: tuple[Part, ...]

    @classmethod
    def of(cls, lengths: Sequence[int], T: int, blocks: Sequence[Block]) -> SharedRows:
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


def _attend(part: Part, query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None) -> Tensor:
    """Of each row by itself: (R, L, nh, hs)."""
    rows = [  # each (R, nh, L, hs)
        states[part.places].view(*part.shape, *states.shape[1:]).transpose(1, 2)
        for states in (query, key, value)
    ]
    return attend(rows[0], rows[1], rows[2], bias).transpose(1, 2)

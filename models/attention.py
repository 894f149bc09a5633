"""Scaled dot-product attention (arXiv 1706.03762, section 3.2.1), and what padding asks of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor
from torch.nn import functional as F

from models.rows import answers_on_cpu, fill

# Padding of a batch from which on layers skip it. On one core minilm took 0.89 to 0.97 of the time
# where 11 to 15% was padding and 1.01 where 3% was; the narrower transformer, which never skips it,
# 0.92 to 1.03 in bfloat16.
WORTH_SKIPPING = 0.08
# Tokens up to which a text is read at its own length on a CPU. A mask takes 2 to 5% of a forward;
# but torch keeps code for every length that attention meets, of any number, about 1 MB each.
UNMASKED = 64


def attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
    """softmax(query · key^T / sqrt(hs)) · value, each (B, nh, T, hs) -> (B, nh, T, hs).

    Args:
        query: of each position.
        key: of each position.
        value: of each position.
        mask: (B, 1, 1, T) bool, True = may be attended to; None where nothing is padding. Or
            (B or 1, nh, T, T) of the queries' dtype, which is added to the scores.
    """
    if torch.is_grad_enabled() and query.device.type == "cpu":
        # The fused kernel's backward is slower on a CPU than these three products: in bfloat16
        # by a tenth at 256 tokens and by half at 16.
        scores = query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5  # (B, nh, T, T)
        if mask is not None and mask.dtype is torch.bool:
            scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
        elif mask is not None:
            scores = scores + mask
        attended: Tensor = scores.softmax(dim=-1) @ value
        return attended
    return F.scaled_dot_product_attention(query, key, value, attn_mask=mask)


def padding_mask(attention_mask: Tensor) -> Tensor | None:
    """(B, T) -> (B, 1, 1, T), or None where nothing is padding and attention runs faster bare.

    On a GPU nobody looks: it would wait for the forward's start, and gain less.
    """
    if attention_mask.device.type == "cpu" and bool(attention_mask.all()):
        return None
    return attention_mask[:, None, None, :]


@dataclass(frozen=True, slots=True)
class Padding:
    """A batch's padding: attention looks away from it, and the layers between may skip it.

    Attributes:
        shape: (B, T).
        mask: (B, 1, 1, T), as ``padding_mask`` has it, or what ``attend`` takes in its place.
        tokens: (N,) places of the real tokens in the flattened batch; None where layers read all.
        flat: whether the layers read rows of a usual number (``rows.py``) rather than a batch.
    """

    shape: torch.Size
    mask: Tensor | None
    tokens: Tensor | None
    flat: bool

    @classmethod
    def of(cls, attention_mask: Tensor, *, skip: bool = True) -> Self:
        """Of a batch with this mask, (B, T). Nothing is skipped in training or on a GPU."""
        mask = padding_mask(attention_mask)
        tokens = None
        flat = answers_on_cpu(attention_mask)
        if skip and flat and mask is not None:
            tokens = attention_mask.flatten().nonzero().squeeze(1)
            if len(tokens) > (1 - WORTH_SKIPPING) * attention_mask.numel():
                tokens = None
        return cls(attention_mask.shape, mask, tokens, flat)

    def gather(self, hidden_states: Tensor) -> Tensor:
        """(B, T, D) -> (R, D), the rows that layers read, then zeros; unchanged unless ``flat``."""
        if not self.flat:
            return hidden_states
        if self.tokens is None:
            return fill(hidden_states)
        return fill(hidden_states.flatten(0, 1).index_select(0, self.tokens))

    def spread(self, hidden_states: Tensor) -> Tensor:
        """(R, D) -> (B, T, D), with zeros at what was skipped; unchanged unless ``flat``."""
        if not self.flat:
            return hidden_states
        B, T = self.shape
        if self.tokens is None:
            return hidden_states[: B * T].view(B, T, -1)
        spread = hidden_states.new_zeros(B * T, hidden_states.shape[-1])
        return spread.index_copy_(0, self.tokens, hidden_states[: len(self.tokens)]).view(B, T, -1)

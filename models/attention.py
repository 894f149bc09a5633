"""Scaled dot-product attention (arXiv 1706.03762, section 3.2.1), and what padding asks of it."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

# Tokens up to which a batch on a CPU comes as long as its longest text; ``layout.py`` decides what
# attention reads of it. torch keeps code for every length that attention meets, about 1 MB each.
UNMASKED = 64


def attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
    """softmax(query · key^T / sqrt(hs)) · value, each (B, nh, T, hs) -> (B, nh, T, hs).

    Args:
        query: of each position.
        key: of each position.
        value: of each position.
        mask: (B, 1, 1, T) or (B, 1, T, T) bool, True = may be attended to; None where everything
            may. Or of the queries' dtype, (B or 1, nh or 1, 1 or T, T), added to the scores.
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

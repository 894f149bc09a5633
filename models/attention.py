"""Scaled dot-product attention (arXiv 1706.03762, section 3.2.1), and what padding asks of it."""

from __future__ import annotations

import ctypes

import torch
from torch import Tensor
from torch.nn import functional as F

from models import native

# Tokens up to which a batch on a CPU comes as long as its longest text; ``layout.py`` decides what
# attention reads of it. torch keeps code for every length that attention meets, about 1 MB each.
UNMASKED = 64
ALIGNED = 64  # bytes of a row of a matrix tile
WIDEST = 256  # features of a head, as far as it is tested


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


def can_attend(head_size: int, dtype: torch.dtype) -> bool:
    """Whether ``attend_texts`` can be called here: it takes the processor's matrix tiles."""
    by_tiles = dtype == torch.bfloat16 and native.way() is native.Way.TILES
    return by_tiles and head_size % native.INPUTS == 0 and head_size <= WIDEST


def attend_texts(
    projected: Tensor, starts: Tensor, longest: int, rotation: Tensor | None = None
) -> Tensor:
    """Attention of every text over itself in one native call, (N, 3, nh, hs) -> (N, nh·hs).

    torch's kernel takes texts padded to one length, and one by one does little for short ones: its
    code is for products of a size that theirs don't have. ``csrc/attention.c`` computes exactly
    the pairs of tokens that there are, on a CPU's matrix tiles.

    Args:
        projected: query, key and value of each token in bfloat16, text after text.
        starts: (B + 1,) int32, where each text begins, and where the last ends; rows after that
            are of no text, and give zeros.
        longest: tokens of the longest text.
        rotation: (2, longest, hs / 2) float32, the cosines and sines by which pairs (x_i,
            x_{i + hs/2}) of queries and keys are to be turned first; None where they aren't.
    """
    projected = projected.contiguous()
    N, _, nh, hs = projected.shape
    assert can_attend(hs, projected.dtype), "nobody else may ask"
    assert starts.dtype == torch.int32, "as the library reads them"
    if rotation is not None:
        assert rotation.shape == (2, longest, hs // 2), "of every position there is"
        rotation = rotation.contiguous()
    count, threads = len(starts) - 1, torch.get_num_threads()
    attended = projected.new_empty(N, nh * hs)
    attended[int(starts[count]) :] = 0.0
    scratch_bytes = native.loaded().lockstep_scratch_bytes(longest, hs)
    scratch = torch.empty(threads * scratch_bytes, dtype=torch.uint8)
    assert scratch.data_ptr() % ALIGNED == 0, "as torch's memory is"
    texts = native.Texts(
        projected=projected.data_ptr(),
        rotation=None if rotation is None else rotation.data_ptr(),
        starts=starts.data_ptr(),
        attended=attended.data_ptr(),
        scratch=scratch.data_ptr(),
        count=count,
        longest=longest,
        heads=nh,
        size=hs,
        threads=threads,
        scratch_bytes=scratch_bytes,
    )
    native.loaded().lockstep_attend(ctypes.byref(texts))
    return attended


def padding_mask(attention_mask: Tensor) -> Tensor | None:
    """(B, T) -> (B, 1, 1, T), or None where nothing is padding and attention runs faster bare.

    On a GPU nobody looks: it would wait for the forward's start, and gain less.
    """
    if attention_mask.device.type == "cpu" and bool(attention_mask.all()):
        return None
    return attention_mask[:, None, None, :]

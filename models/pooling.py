"""From the hidden states of a text's tokens to one vector. Padding never takes part.

Each function maps hidden_states (B, T, D) and attention_mask (B, T) to hidden_state (B, P).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

Pooling = Literal["mean_max", "mean", "last"]


def mean(hidden_states: Tensor, attention_mask: Tensor) -> Tensor:
    """The average over the real tokens: (B, T, D) -> (B, D)."""
    weights = attention_mask.float()  # (B, T)
    # As a product of (1, T) x (T, D): on a CPU faster than a sum; in bfloat16 each shape of it
    # would be a new one to oneDNN (rows.py).
    total = torch.bmm(weights.unsqueeze(1), hidden_states.float()).squeeze(1)  # (B, D)
    return (total / weights.sum(dim=1, keepdim=True)).to(hidden_states.dtype)


def maximum(hidden_states: Tensor, attention_mask: Tensor) -> Tensor:
    """The largest value of each feature over the real tokens: (B, T, D) -> (B, D)."""
    floor = torch.finfo(hidden_states.dtype).min
    return hidden_states.masked_fill(~attention_mask.unsqueeze(-1), floor).amax(dim=1)


def mean_max(hidden_states: Tensor, attention_mask: Tensor) -> Tensor:
    """Average and maximum side by side: (B, T, D) -> (B, 2·D)."""
    return torch.cat(
        (mean(hidden_states, attention_mask), maximum(hidden_states, attention_mask)), dim=-1
    )


def last(hidden_states: Tensor, attention_mask: Tensor) -> Tensor:
    """The hidden state of the last real token: (B, T, D) -> (B, D)."""
    positions = attention_mask.sum(dim=1) - 1  # (B,)
    rows = torch.arange(hidden_states.shape[0], device=hidden_states.device)
    return hidden_states[rows, positions]


POOLINGS: dict[Pooling, Callable[[Tensor, Tensor], Tensor]] = {
    "mean_max": mean_max,
    "mean": mean,
    "last": last,
}


def pooled_size(pooling: Pooling, d_model: int) -> int:
    """P, the width of what ``pooling`` makes of hidden states ``d_model`` wide."""
    return 2 * d_model if pooling == "mean_max" else d_model

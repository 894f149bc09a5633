"""Positions as rotations of queries and keys (RoFormer, arXiv 2104.09864, equation 34)."""

from __future__ import annotations

import torch
from torch import Tensor


def angles(length: int, head_size: int, device: torch.device) -> Tensor:
    """t·10000^(-2i/hs) of each position t, (T, hs / 2).

    In float32: bfloat16 can't tell position 511 from 512.
    """
    exponents = torch.arange(0, head_size, 2, dtype=torch.float32, device=device) / head_size
    positions = torch.arange(length, dtype=torch.float32, device=device)
    return torch.outer(positions, 10_000.0**-exponents)


def waves(turned: Tensor) -> Tensor:
    """Cosines and sines of angles, (T, hs / 2) -> (2, T, hs / 2)."""
    return torch.stack((turned.cos(), turned.sin()))


def rotate(vectors: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
    """Turns each pair (x_i, x_{i + hs/2}) of (N, 2, nh, hs) by its position's angle.

    Args:
        vectors: queries and keys.
        cosines: (N, 1, 1, hs), of each pair twice.
        sines: likewise.
    """
    first, second = vectors.chunk(2, dim=-1)
    return vectors * cosines + torch.cat((-second, first), dim=-1) * sines

"""Numbers of rows that a CPU's products are run with: few, so that oneDNN soon has met them all.

oneDNN writes code for every shape of product that it meets, and keeps that of the newest thousand.
Beside a product that takes 0.05 to 0.3 ms the code took 0.5 to 0.9 ms, and 0.4 to 0.9 MB, nearly
all of it for what describes the product. Texts come in every length and batches in every size: run
as they came, shapes were new again and again. On a processor with matrix units the code is longer:
that of a product with gelu in the same call took 6 ms for 512 rows and 13 for 1,024.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

EVERY = 16  # up to here each number is run as it is; then every other, to 32; every fourth, to 128
STEPS = 16  # from 64 on: between one power of two and the next
PART = 512  # rows of a thread; fewer made products slower, more are as fast


def usual(rows: int) -> int:
    """The next number that products are run with: 2% more in the mean, 9% at most."""
    if rows <= EVERY:
        return rows
    below = 1 << (rows - 1).bit_length() - 1  # the power of two
    step = max(below // STEPS, min(below // 8, 4))
    return -(-rows // step) * step


def fill(inputs: Tensor) -> Tensor:
    """(..., D) -> (R, D), R usual: the rows, then zeros. A copy only where some are missing."""
    return fill_rows(inputs.reshape(-1, inputs.shape[-1]))


def fill_rows(rows: Tensor) -> Tensor:
    """(R', ...) -> (R, ...), R usual: the rows, then zeros. A copy only where some are missing."""
    missing = usual(len(rows)) - len(rows)
    return F.pad(rows, (0, 0) * (rows.ndim - 1) + (0, missing)) if missing else rows


def by_rows(layer: Callable[[Tensor], Tensor], inputs: Tensor) -> Tensor:
    """What ``layer`` makes of each row, run with a usual number: (..., D) -> (..., C)."""
    rows = inputs.numel() // inputs.shape[-1]
    if inputs.ndim == 2 and usual(rows) == rows:  # nothing to fill, nor to undo
        return layer(inputs)
    return layer(fill(inputs))[:rows].view(*inputs.shape[:-1], -1)


def in_parts(layers: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
    """What layers that read each row by itself make of rows, ``PART`` a thread at a time.

    Args:
        layers: of as many tensors as are given.
        inputs: each (R, ...), R usual.
    """
    part = PART * torch.get_num_threads()
    if len(inputs[0]) <= part:
        return layers(*inputs)
    parts = zip(*(torch.split(rows, part) for rows in inputs), strict=True)
    return torch.cat([layers(*some) for some in parts])


def answers_on_cpu(tensor: Tensor) -> bool:
    """Whether it is read on a CPU, in answer to somebody: what trains needn't meet few shapes."""
    return tensor.device.type == "cpu" and not torch.is_grad_enabled()


class RowLinear(nn.Linear):
    """``nn.Linear``, run with a usual number of rows where torch asks oneDNN for the product."""

    def forward(self, inputs: Tensor) -> Tensor:
        """(..., in_features) -> (..., out_features)."""
        if inputs.dtype == torch.bfloat16 and answers_on_cpu(inputs):
            return by_rows(super().forward, inputs)
        return super().forward(inputs)


def gelu(inputs: Tensor) -> Tensor:
    """The exact gelu of (..., T, D).

    Seen from the side: what lies in order torch hands to oneDNN, whose code is for one shape again.
    Its own kernel is as fast.
    """
    return F.gelu(inputs.mT).mT

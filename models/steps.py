"""A recurrence's steps in one native call (``native.py``), where there is one.

A step of a small model is a product of a few rows and a megabyte of weights, then its gates. torch
has no call for it that is fast on a CPU: oneDNN's LSTM reads W beside U at each step, more than one
core's cache holds; ``nn.GRU`` and ``nn.RNN`` are a product and some operations a step.
``csrc/steps.c`` computes all texts' steps of a layer with U in the cache, gates in the same pass
and nothing for texts that have ended.
"""

from __future__ import annotations

import ctypes
from enum import IntEnum
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from models import native
from models.native import INPUTS, LANES

SPARE = 16  # rows of a tile that may be read past the last


class Cell(IntEnum):
    """What makes a state of the one before; the number is the library's."""

    RNN = 0
    GRU = 1
    LSTM = 2

    @property
    def gates(self) -> int:
        """Products with the state before, each as wide as the state."""
        return (1, 3, 4)[self]


class Weights(NamedTuple):
    """What a layer multiplies states by.

    Attributes:
        cell: of the layer.
        width: D, units of a state.
        tiles: U, laid out.
        bias: (D,) float32, what a GRU adds to U_n h before r; None of the others.
    """

    cell: Cell
    width: int
    tiles: Tensor
    bias: Tensor | None = None


def can_run(width: int, dtype: torch.dtype) -> bool:
    """Whether states of so many units, in ``dtype``, can be computed here."""
    return width % LANES == 0 and dtype == torch.bfloat16 and native.way() is not native.Way.NONE


def lay_out(cell: Cell, U: Tensor, bias: Tensor | None = None) -> Weights:
    """The weights, (gates · D, D), as they are read: tile by tile, a unit's gates together.

    A tile is 32 inputs by 16 units, its inputs in pairs: (16, 16, 2). The RNN, which has one gate,
    has four times as many units in its place; what is missing of the last is zeros.
    """
    D = U.shape[1]
    if cell is Cell.RNN:
        strips = F.pad(U, (0, 0, 0, -D % (4 * LANES))).view(-1, 4, LANES, D)
    else:
        strips = U.view(cell.gates, -1, LANES, D).transpose(0, 1)  # (strips, gates, 16, D)
    strips = F.pad(strips, (0, -D % INPUTS))  # inputs of zero
    pairs = strips.view(*strips.shape[:3], -1, INPUTS // 2, 2)
    tiles = pairs.permute(0, 3, 1, 4, 2, 5).contiguous()  # (strips, D / 32, gates, 16, 16, 2)
    return Weights(cell, D, tiles, None if bias is None else bias.float())


def run_layer(driven: Tensor, rows: Tensor, weights: Weights, *, backward: bool = False) -> Tensor:
    """The state after each token, (N, gates · D or more) -> (N, D), from zeros on.

    Args:
        driven: W x + b of each token, all that isn't multiplied by a state, in bfloat16, and what
            may follow it; tokens as ``torch.nn.utils.rnn.PackedSequence`` has them.
        rows: (T,) int32, how many texts have a token at each step.
        weights: of the layer; ``can_run`` its width.
        backward: from each text's last token to its first.
    """
    driven = driven.contiguous()
    states = driven.new_zeros(len(driven) + SPARE, weights.width)
    memory = driven.new_empty(int(rows[0]), weights.width, dtype=torch.float32)
    layer = native.Layer(
        driven=driven.data_ptr(),
        weights=weights.tiles.data_ptr(),
        bias=None if weights.bias is None else weights.bias.data_ptr(),
        rows=rows.data_ptr(),
        memory=memory.data_ptr(),
        states=states.data_ptr(),
        length=len(rows),
        width=weights.width,
        stride=driven.shape[1],
        cell=weights.cell,
        way=native.way(),
        backward=backward,
        threads=torch.get_num_threads(),
    )
    native.loaded().lockstep_layer(ctypes.byref(layer))
    return states[: len(driven)]

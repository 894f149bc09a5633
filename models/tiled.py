"""A linear layer's weights as the library reads them, and its product with rows in one native call.

oneDNN multiplies many rows by packed weights about as fast as a core can, unless the cache has lost
the weights since the last call, as in a worker that others interrupt. This call fetches what comes
next where it multiplies by dot products (``csrc/dots.c``), and writes no code for new shapes.
"""

from __future__ import annotations

import ctypes

import torch
from torch import Tensor
from torch.nn import functional as F

from models import native

SIDE = native.INPUTS  # inputs and outputs come in multiples of it
ALIGNED = 64  # bytes of a row of a tile


class Tiled:
    """W x + b, where ``native.encodes``.

    Args:
        weight: (out, in), W, in bfloat16.
        bias: (out,), b.
    """

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        outputs, inputs = weight.shape
        self._missing = -inputs % SIDE
        self._tiles = lay_out(F.pad(weight, (0, self._missing, 0, -outputs % SIDE)))
        self._bias = F.pad(bias.float(), (0, -outputs % SIDE))
        assert self._tiles.data_ptr() % ALIGNED == 0, "as torch's memory is"
        self._weights = native.Weights(
            tiles=self._tiles.data_ptr(),
            bias=self._bias.data_ptr(),
            inputs=inputs + self._missing,
            outputs=len(self._bias),
        )

    def __call__(self, rows: Tensor) -> Tensor:
        """(N, in) -> (N, out), and then zeros up to a multiple of ``SIDE``; both bfloat16."""
        rows = F.pad(rows, (0, self._missing)) if self._missing else rows.contiguous()
        outputs = rows.new_empty(len(rows), self._weights.outputs)
        assert rows.dtype == torch.bfloat16, "as W is"
        assert rows.shape[1] == self._weights.inputs, "likewise"
        native.loaded().lockstep_product(
            ctypes.byref(self._weights),
            ctypes.c_void_p(rows.data_ptr()),
            ctypes.c_void_p(outputs.data_ptr()),
            len(rows),
            int(native.way()),
            torch.get_num_threads(),
        )
        return outputs


def lay_out(weight: Tensor) -> Tensor:
    """Tiles of 16 pairs of inputs by 16 outputs, two of them side by side.

    (out, in) -> (out / 32, in / 32, 2, 16, 16, 2).
    """
    outputs, inputs = weight.shape
    sides = weight.view(outputs // SIDE, 2, native.LANES, inputs // SIDE, native.LANES, 2)
    return sides.permute(0, 3, 1, 4, 2, 5).contiguous()

"""``nn.RNN``, ``nn.GRU`` and ``nn.LSTM`` that stay fast on a GPU whatever their dtype.

cuDNN reads all weights of a recurrence from one chunk of memory, in an order of its own. torch lays
them out so whenever a module is moved or cast, but not in bfloat16, which cuDNN has read only since
9.13 (torch's Python half still lists the older dtypes): torch then warns and copies every weight
anew in each call.
"""

from __future__ import annotations

import contextlib

import torch
from torch import nn

BFLOAT16_CUDNN = 91300  # the first cuDNN whose recurrences take bfloat16


class _OneChunk(nn.RNNBase):
    def flatten_parameters(self) -> None:
        """Lays the weights out as cuDNN reads them. Does nothing on a CPU."""
        weight = next(self.parameters(), None)
        if weight is None or weight.device.type != "cuda":
            return
        version = torch.backends.cudnn.version()  # type: ignore[no-untyped-call]
        if (version or 0) >= BFLOAT16_CUDNN:
            torch.backends.cudnn.CUDNN_TENSOR_DTYPES.add(torch.bfloat16)
        # A cuDNN that refuses leaves them where they are: slower, and as right.
        with contextlib.suppress(RuntimeError):
            super().flatten_parameters()


class RNN(_OneChunk, nn.RNN):
    """``nn.RNN``, its weights in one chunk on a GPU."""


class GRU(_OneChunk, nn.GRU):
    """``nn.GRU``, its weights in one chunk on a GPU."""


class LSTM(_OneChunk, nn.LSTM):
    """``nn.LSTM``, its weights in one chunk on a GPU."""

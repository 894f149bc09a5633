"""A classifier from ids to logits in one native call.

Torch's calls for what stands before an encoder and after it (a batch is padded, checked, gathered;
states are pooled, the head is a product) took a twentieth of a batch of mixed texts: each is little
work, by code that has left the cache since the batch before.
"""

from __future__ import annotations

import ctypes
import math
from array import array

import torch
from torch import Tensor, nn

from models import native
from models.errors import InputError
from models.line import Line
from models.pooling import Pooling
from models.stack import Stack

FORMATS = (torch.float16, torch.float32)  # of a table of embeddings; by the library's numbers
POOLINGS: tuple[Pooling, ...] = ("mean_max", "mean", "last")  # likewise
FLOAT_BYTES = array("f").itemsize


class Reader:
    """What stands around an encoder, laid out for the library.

    Args:
        stack: the encoder.
        table: (V, E) of embeddings, of one of ``FORMATS``.
        pooling: of the encoder's states.
        head: (P) -> (C).
        window: the most tokens of a text; None reads any length.
    """

    def __init__(
        self, stack: Stack, table: Tensor, pooling: Pooling, head: nn.Linear, window: int | None
    ) -> None:
        assert table.shape[1] == stack.input_size, "as the encoder reads it"
        assert stack.longest is None or (window or math.inf) <= stack.longest, "as positions go"
        table, weight = table.contiguous(), head.weight.detach().float().contiguous()
        bias = head.bias.detach().float()
        self._stack, self._window = stack, window
        self._held = table, weight, bias  # by whom they are pointed at
        self._rows, self._vocabulary = table.data_ptr(), len(table)
        self._format, self._labels = FORMATS.index(table.dtype), head.out_features
        made = weight.data_ptr(), bias.data_ptr(), self._labels, POOLINGS.index(pooling)
        self._head = ctypes.pointer(native.Head(*made))

    def __call__(self, line: Line) -> list[list[float]]:
        """Logits of each text.

        Raises:
            InputError: a text is longer than the window, or an id isn't in the table.
        """
        if self._window is not None and line.longest > self._window:
            raise InputError(f"{line.longest} tokens; the encoder's window is {self._window}")
        logits = array("f", bytes(line.texts * self._labels * FLOAT_BYTES))
        batch = native.Batch(
            ids=native.address(line.ids),
            table=self._rows,
            head=self._head,
            logits=native.address(logits),
            format=self._format,
            vocabulary=self._vocabulary,
        )
        if not self._stack.run(batch, line.starts, line.longest):
            raise InputError(
                f"ids run from {min(line.ids)} to {max(line.ids)}; "
                f"the vocabulary has {self._vocabulary}"
            )
        numbers = iter(logits.tolist())
        return [list(row) for row in zip(*[numbers] * self._labels, strict=True)]

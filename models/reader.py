"""A classifier from ids to logits in native calls, of which a Transformer takes one.

Torch's calls for what stands before an encoder and after it (a batch is padded, checked, gathered;
states are pooled, the head is a product) took a twentieth of a batch of mixed texts: each is little
work, by code that has left the cache since the batch before. Of a recurrence's it was a fifth.
"""

from __future__ import annotations

import ctypes
import math
from array import array
from typing import Protocol

import torch
from torch import Tensor, nn

from models import native
from models.errors import InputError
from models.line import Line
from models.pooling import Pooling

FORMATS = (torch.float16, torch.float32)  # of a table of embeddings; by the library's numbers
POOLINGS: tuple[Pooling, ...] = ("mean_max", "mean", "last")  # likewise
FLOAT_BYTES = array("f").itemsize


class Layers(Protocol):
    """An encoder's, laid out for the library.

    Attributes:
        input_size: E of the embeddings.
        longest: the most tokens of a text; None reads any length.
    """

    input_size: int
    longest: int | None

    def run(self, batch: native.Batch, starts: array[int], longest: int) -> bool:
        """A batch, from its ids to its logits.

        Args:
            batch: all but what is told here.
            starts: where each of its texts begins, and where the last ends.
            longest: tokens of the longest text.

        Returns:
            Whether the table has all of its ids. Nothing was done otherwise.
        """


class Reader:
    """What stands around an encoder, laid out for the library.

    Args:
        layers: the encoder's.
        table: (V, E) of embeddings, of one of ``FORMATS``.
        pooling: of the encoder's states.
        head: (P) -> (C).
        window: the most tokens of a text; None reads any length.
    """

    def __init__(
        self, layers: Layers, table: Tensor, pooling: Pooling, head: nn.Linear, window: int | None
    ) -> None:
        assert table.shape[1] == layers.input_size, "as the encoder reads it"
        assert layers.longest is None or (window or math.inf) <= layers.longest, "as positions go"
        table, weight = table.contiguous(), head.weight.detach().float().contiguous()
        bias = head.bias.detach().float()
        self._layers, self._window = layers, window
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
        if not self._layers.run(batch, line.starts, line.longest):
            raise InputError(
                f"ids run from {min(line.ids)} to {max(line.ids)}; "
                f"the vocabulary has {self._vocabulary}"
            )
        numbers = iter(logits.tolist())
        return [list(row) for row in zip(*[numbers] * self._labels, strict=True)]

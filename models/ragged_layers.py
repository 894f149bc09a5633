"""A recurrence's layers as ``Reader`` runs them: texts by length, from their ids on.

What ``Ragged`` makes of a padded batch by torch's calls is made of ids here, by the library.
"""

from __future__ import annotations

import ctypes
from array import array
from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor

from models import native

States = Callable[[Tensor, Tensor], Tensor]  # (N, E) and (T,) -> (N, D)


def can_embed(width: int) -> bool:
    """Whether the library can look up embeddings of so many numbers."""
    return native.encodes() and width % native.LANES == 0


class RaggedLayers:
    """Layers that read tokens as ``Ragged`` has them.

    Args:
        states: of the last layer, of embeddings and of how many texts have a token at each step.
        input_size: E, which ``can_embed``.
        width: D, a multiple of ``native.LANES``.
    """

    longest: int | None = None

    def __init__(self, states: States, input_size: int, width: int) -> None:
        self._states = states
        self.input_size, self.width = input_size, width

    @torch.inference_mode()
    def run(self, batch: native.Batch, starts: array[int], longest: int) -> bool:
        """See ``Layers.run``."""
        order, rows = by_length(starts)
        texts, tokens = len(starts) - 1, starts[-1]
        embedded = torch.empty(tokens, self.input_size, dtype=torch.bfloat16)
        most = 2 * self.width  # that any pooling makes of a text
        pooled = torch.empty(texts, most, dtype=torch.float32)
        batch.starts, batch.texts, batch.tokens = native.address(starts), texts, tokens
        batch.threads = torch.get_num_threads()
        ragged = native.Ragged(
            batch=ctypes.pointer(batch),
            order=native.address(order),
            rows=native.address(rows),
            embedded=embedded.data_ptr(),
            pooled=pooled.data_ptr(),
            inputs=self.input_size,
            width=self.width,
        )
        library = native.loaded()
        if not library.lockstep_embed(ctypes.byref(ragged)):
            return False
        states = self._states(embedded, torch.frombuffer(rows, dtype=torch.int32)).contiguous()
        ragged.states = states.data_ptr()
        library.lockstep_judge(ctypes.byref(ragged))
        return True


def by_length(starts: array[int]) -> tuple[array[int], array[int]]:
    """Of texts that begin and end there: which are longest, and how many have each token.

    Returns:
        (B,) int32, the texts from the longest to the shortest; (T,) int32.
    """
    lengths = [end - start for start, end in pairwise(starts)]
    order = array("i", sorted(range(len(lengths)), key=lengths.__getitem__, reverse=True))
    rows = array("i")
    for count in range(len(order), 0, -1):  # texts that are left, and until which token
        rows += array("i", [count]) * (lengths[order[count - 1]] - len(rows))
    return order, rows

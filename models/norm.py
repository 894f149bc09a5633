"""Layer norms, and those of a sum, in one native call where there is one (``native.py``).

Between its products a Transformer adds and norms. Each is little work over many numbers: torch's
two calls read and write them twice, and took a fifth of a forward in bfloat16 once its attention
was native.
"""

from __future__ import annotations

import ctypes

import torch
from torch import Tensor, nn

from models import native
from models.packed import Packable
from models.rows import answers_on_cpu

WIDEST = 1024  # features of a row


class LayerNorm(nn.LayerNorm, Packable):
    """``nn.LayerNorm``, and of a sum."""

    _native: tuple[Tensor, Tensor] | None = None  # weight and bias in float32

    def pack(self) -> None:
        (width,) = self.normalized_shape
        here = native.way() is not native.Way.NONE and self.weight.dtype == torch.bfloat16
        if here and width % native.LANES == 0 and width <= WIDEST:
            self._native = self.weight.detach().float(), self.bias.detach().float()

    def forward(self, states: Tensor) -> Tensor:
        """(..., D) -> (..., D)."""
        if self._native is not None and answers_on_cpu(states):
            return self._call(self._native, states)
        return super().forward(states)

    def of_sum(self, states: Tensor, added: Tensor) -> tuple[Tensor, Tensor]:
        """states + added, and its norm: (..., D) each."""
        if self._native is not None and answers_on_cpu(states):
            sums = torch.empty_like(states, memory_format=torch.contiguous_format)
            return sums, self._call(self._native, states, added, sums)
        total = states + added
        return total, super().forward(total)

    def _call(
        self,
        parameters: tuple[Tensor, Tensor],
        states: Tensor,
        added: Tensor | None = None,
        sums: Tensor | None = None,
    ) -> Tensor:
        """The norm of states, to which ``added`` is added first, which gives ``sums``."""
        assert states.dtype == torch.bfloat16, "as the weights were"
        assert states.shape[-1:] == self.normalized_shape, "as nn.LayerNorm wants it"
        states = states.contiguous()
        if added is not None:
            assert (added.dtype, added.shape) == (states.dtype, states.shape), "nothing is spread"
            added = added.contiguous()
        normed = torch.empty_like(states)
        weight, bias = parameters
        width = states.shape[-1]
        norms = native.Norms(
            states=states.data_ptr(),
            added=None if added is None else added.data_ptr(),
            weight=weight.data_ptr(),
            bias=bias.data_ptr(),
            sums=None if sums is None else sums.data_ptr(),
            normed=normed.data_ptr(),
            count=states.numel() // width,
            width=width,
            threads=torch.get_num_threads(),
            epsilon=self.eps,
        )
        native.loaded().lockstep_norm(ctypes.byref(norms))
        return normed

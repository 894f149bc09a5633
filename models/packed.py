"""Layers that can hold their weights as a CPU reads them fastest, to answer and nothing else.

torch gives oneDNN a weight as it lies, and oneDNN lays it out anew in every call: for one short
text that took longer than the product. ``pack`` lays it out once. On one AVX-512 core a packed
layer took 0.4 to 0.8 of the time up to 32 tokens and 0.8 to 0.95 at 256, in float32 and in
bfloat16; whether it does on another is for the caller to measure.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import cast

import torch
from torch import Tensor, nn

from models.rows import RowLinear, by_rows, gelu

TYPICAL_ROWS = 32  # oneDNN is told how many to lay a weight out for; other numbers run as fast


class Packable(nn.Module, ABC):
    """A layer with a second form that answers alone: not trained, cast, moved, saved or copied."""

    @abstractmethod
    def pack(self) -> None:
        """Takes that form, for good.

        Raises:
            RuntimeError: this processor has no such form in the dtype of the weights.
        """


class Linear(RowLinear, Packable):
    """``nn.Linear``, and the activation after it in the same call where the weight is packed."""

    _packed: Tensor | None = None

    def pack(self) -> None:
        self._packed = reorder(self.weight)
        self.weight = spent(self.weight)

    def forward(self, inputs: Tensor) -> Tensor:
        """(..., in_features) -> (..., out_features)."""
        if self._packed is not None:
            return product(inputs, self._packed, self.bias)
        return super().forward(inputs)

    def gelu(self, inputs: Tensor) -> Tensor:
        """gelu(W x + b): (..., in_features) -> (..., out_features)."""
        if self._packed is not None:
            return product(inputs, self._packed, self.bias, "gelu")
        return gelu(self(inputs))


def reorder(weight: Tensor) -> Tensor:
    """(out_features, in_features) in oneDNN's own layout, which the products below alone read."""
    return cast(Tensor, torch.ops.mkldnn._reorder_linear_weight(weight.detach(), TYPICAL_ROWS))


def product(
    inputs: Tensor, packed: Tensor, bias: Tensor | None, activation: str = "none"
) -> Tensor:
    """activation(W x + b): (..., in_features) -> (..., out_features).

    Args:
        inputs: x.
        packed: W, as ``reorder`` gives it.
        bias: (out_features,) or None.
        activation: ``none``, ``tanh`` or ``gelu`` (the exact one).
    """
    pointwise = torch.ops.mkldnn._linear_pointwise.default
    return by_rows(lambda x: pointwise(x, packed, bias, activation, [], "none"), inputs)


def sum_with_product(summand: Tensor, inputs: Tensor, packed: Tensor) -> Tensor:
    """summand + W x, rounded once: (B, out_features) and (B, in_features) -> (B, out_features)."""
    pointwise = torch.ops.mkldnn._linear_pointwise.binary
    return cast(Tensor, pointwise(inputs, summand, packed, None, "add"))


def spent(weight: Tensor) -> nn.Parameter:
    """What stands where a weight was, of its dtype: nobody may read the old layout again."""
    return nn.Parameter(torch.empty(0, dtype=weight.dtype), requires_grad=False)

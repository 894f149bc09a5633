"""The causal convolution against torch's own, and nothing of what is to come."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from models.causal_conv import CausalConv


@pytest.mark.parametrize("length", [1, 2, 3, 4, 9])
def test_convolution_is_torchs_with_zeros_before_the_text(length: int) -> None:
    torch.manual_seed(0)
    conv, states = CausalConv(5, kernel_size=4), torch.randn(2, length, 5)
    padded = F.pad(states.transpose(1, 2), (3, 0))  # (B, D, 3 + T)
    wanted = F.conv1d(padded, conv.weight.t().unsqueeze(1), conv.bias, groups=5)
    torch.testing.assert_close(conv(states), wanted.transpose(1, 2))


def test_later_steps_change_nothing_before_them() -> None:
    conv, states = CausalConv(5, kernel_size=4), torch.randn(2, 9, 5)
    before = conv(states)
    states[:, 6:] = 7.0
    assert torch.equal(conv(states)[:, :6], before[:, :6])

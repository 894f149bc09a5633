"""Attention as training runs it equals attention as the service runs it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from models.attention import attend, padding_mask


def inputs(dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(2)
    query, key, value = torch.randn(3, 2, 4, 9, 8, dtype=dtype)  # each (B, nh, T, hs)
    return query, key, value


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.bfloat16, 2e-2)])
@pytest.mark.parametrize("padded", [False, True])
def test_both_paths_agree(dtype: torch.dtype, tolerance: float, padded: bool) -> None:
    attention_mask = torch.ones(2, 9, dtype=torch.bool)
    attention_mask[1, 5:] = not padded
    mask = padding_mask(attention_mask)
    assert (mask is None) != padded
    trained = attend(*inputs(dtype), mask)
    with torch.inference_mode():
        served = attend(*inputs(dtype), mask)
    torch.testing.assert_close(trained, served, atol=tolerance, rtol=tolerance)

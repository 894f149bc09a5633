"""Layer norms in one native call are their formula."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from models import native
from models.norm import LayerNorm
from tests.models.native import need_library


@pytest.fixture(autouse=True)
def vectors() -> None:
    torch.manual_seed(0)
    need_library()
    if native.way() is native.Way.NONE:
        pytest.skip("this processor has no bfloat16")


def layer(width: int, eps: float = 1e-5) -> LayerNorm:
    norm = LayerNorm(width, eps=eps).bfloat16()
    with torch.no_grad():
        norm.weight.copy_(torch.randn(width))
        norm.bias.copy_(torch.randn(width))
    norm.pack()
    return norm


def formula(norm: LayerNorm, states: Tensor) -> Tensor:
    weight, bias = norm.weight.double(), norm.bias.double()
    return torch.nn.functional.layer_norm(
        states.double(), states.shape[-1:], weight, bias, norm.eps
    ).float()


@pytest.mark.parametrize("width", [16, 48, 256, 384, 1024])
@pytest.mark.parametrize("shape", [(1,), (31,), (33,), (2, 40)])
@torch.inference_mode()
def test_norm_is_its_formula(width: int, shape: tuple[int, ...]) -> None:
    norm = layer(width)
    states = (3 * torch.randn(*shape, width) + 2).bfloat16()
    torch.testing.assert_close(norm(states).float(), formula(norm, states), rtol=0.004, atol=0.004)
    added = torch.randn(*shape, width).bfloat16()
    total, normed = norm.of_sum(states, added)
    expected = states.double() + added.double()
    assert torch.equal(total, expected.bfloat16())
    torch.testing.assert_close(normed.float(), formula(norm, expected), rtol=0.004, atol=0.004)


@torch.inference_mode()
def test_parts_of_a_larger_tensor_are_read_where_they_are() -> None:
    norm = layer(32)
    wide = torch.randn(8, 96).bfloat16()
    states, added = wide[:, 32:64], wide[:, :32]
    total, normed = norm.of_sum(states, added)
    assert torch.equal(total, states + added)
    expected = formula(norm, states.double() + added.double())
    torch.testing.assert_close(normed.float(), expected, rtol=0.004, atol=0.004)


@torch.inference_mode()
def test_epsilon_keeps_a_row_without_variance_finite() -> None:
    norm = layer(64, eps=1e-3)
    normed = norm(torch.full((2, 64), 5.0).bfloat16())
    assert torch.equal(normed, norm.bias.expand(2, -1))


@pytest.mark.parametrize("value", [math.nan, math.inf])
@torch.inference_mode()
def test_what_isnt_a_number_stays_in_its_row(value: float) -> None:
    norm = layer(64)
    states = torch.randn(40, 64).bfloat16()
    expected = norm(states)
    states[7, 3] = value
    normed = norm(states)
    assert not normed[7].isfinite().any()
    normed[7] = expected[7]
    assert torch.equal(normed, expected)


@torch.inference_mode()
def test_threads_change_no_bit(threads: int) -> None:
    norm = layer(256)
    states, added = torch.randn(2, 700, 256).bfloat16()
    torch.set_num_threads(1)
    alone = norm.of_sum(states, added)
    for count in (2, 3, 4):
        torch.set_num_threads(count)
        for one, other in zip(norm.of_sum(states, added), alone, strict=True):
            assert torch.equal(one, other)


@pytest.mark.parametrize(
    ("width", "dtype"), [(24, torch.bfloat16), (1040, torch.bfloat16), (32, torch.float32)]
)
@torch.inference_mode()
def test_other_widths_and_formats_stay_with_torch(width: int, dtype: torch.dtype) -> None:
    norm = LayerNorm(width).to(dtype)
    norm.pack()
    assert norm._native is None
    states, added = torch.randn(2, 3, width).to(dtype)
    total, normed = norm.of_sum(states, added)
    assert torch.equal(total, states + added)
    assert torch.equal(normed, torch.nn.LayerNorm.forward(norm, total))


def test_what_trains_stays_with_torch() -> None:
    norm = layer(32)
    states = torch.randn(3, 32).bfloat16().requires_grad_()
    assert norm.of_sum(states, states)[1].requires_grad

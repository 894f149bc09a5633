"""Packed weights give the answer that torch gives with the weights as they lie."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models import packed
from models.base import Classifier
from models.packed import Linear
from models.registry import ARCHITECTURES
from tests.models.test_contract import batch, logits, make

pytestmark = pytest.mark.skipif(
    not torch.backends.mkldnn.is_available(),  # type: ignore[no-untyped-call]
    reason="this torch has no oneDNN",
)
CLOSE = {torch.float32: 1e-5, torch.bfloat16: 2e-2}
DTYPES = [
    torch.float32,
    pytest.param(
        torch.bfloat16,
        marks=pytest.mark.skipif(
            not torch.ops.mkldnn._is_mkldnn_bf16_supported(), reason="no bfloat16 here"
        ),
    ),
]


def in_half(module: nn.Module) -> None:
    """As a checkpoint has them: float16 holds every weight."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(parameter.half())


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("bias", [True, False])
@torch.inference_mode()
def test_linear_is_torchs(dtype: torch.dtype, bias: bool) -> None:
    torch.manual_seed(0)
    layer = Linear(19, 33, bias=bias).to(dtype)
    inputs = torch.randn(2, 7, 40).to(dtype)[..., 3:22]  # rows that don't lie side by side
    plain, curved = layer(inputs), F.gelu(layer(inputs))
    tolerance = CLOSE[dtype]
    torch.testing.assert_close(layer.gelu(inputs), curved, rtol=tolerance, atol=tolerance)
    layer.pack()
    torch.testing.assert_close(layer(inputs), plain, rtol=tolerance, atol=tolerance)
    torch.testing.assert_close(layer.gelu(inputs), curved, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_packed_classifier_answers_as_before(name: str, dtype: torch.dtype) -> None:
    classifier = make(name)
    in_half(classifier)
    other = copy.deepcopy(classifier).cast(dtype).pack()
    for lengths in ((11, 1, 7, 4), (9,)):
        expected = logits(classifier.cast(dtype), *batch(lengths)).float()
        answer = logits(other, *batch(lengths))
        assert answer.dtype == dtype
        atol = 1e-4 if dtype == torch.float32 else 0.05
        torch.testing.assert_close(answer.float(), expected, rtol=atol, atol=atol)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_packing_keeps_no_weight_twice(name: str) -> None:
    classifier = make(name)
    in_half(classifier)
    before = _numbers(classifier)
    after = _numbers(classifier.pack())
    # ``fnn`` uses part of its largest weight; the others keep what is too small to gain.
    assert after == before if name == "fnn" else after < 0.1 * before


def _numbers(classifier: Classifier) -> int:
    return sum(
        parameter.numel()
        for name, parameter in classifier.encoder.named_parameters()
        if name != "positions.weight"  # a table
    )


@torch.inference_mode()
def test_sum_is_added_to_every_row() -> None:
    torch.manual_seed(0)
    weight, inputs, summand = torch.randn(6, 5), torch.randn(3, 5), torch.randn(3, 6)
    answer: Tensor = packed.sum_with_product(summand, inputs, packed.reorder(weight))
    torch.testing.assert_close(answer, summand + inputs @ weight.T)

"""Few shapes of product, and the answers of the shape that a batch has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from models import predict
from models.registry import ARCHITECTURES
from models.rows import PART, by_rows, fill, gelu, in_parts, usual
from tests.models.test_contract import make

LENGTHS = range(1, 41)
PRODUCTS = {"linear", "mm", "addmm", "bmm", "_linear_pointwise", "mkldnn_rnn_layer"}
WITHIN = {"rnn", "gru", "lstm", "bilstm"}  # unpacked, one call of torch's makes all their products
USUAL = {usual(rows) for rows in range(1, 4097)}
needs_bfloat16 = pytest.mark.skipif(
    not torch.ops.mkldnn._is_mkldnn_bf16_supported(), reason="no bfloat16 here"
)


def test_usual_numbers_are_few_and_near() -> None:
    for rows in range(1, 4097):
        assert rows <= usual(rows) <= 1.1 * rows
        assert usual(usual(rows)) == usual(rows)
    assert USUAL.issuperset(range(1, 17))
    assert len(USUAL) < 150
    assert USUAL.issuperset({16, 32, 64, 128, 256, 512, 1024, 2048, 4096})


def test_rows_are_filled_with_zeros() -> None:
    rows = torch.randn(3, 11, 5)
    filled = fill(rows)
    assert filled.shape == (36, 5)
    assert torch.equal(filled[:33], rows.view(33, 5))
    assert not filled[33:].any()
    kept = torch.randn(2, 8, 5)
    assert fill(kept).data_ptr() == kept.data_ptr()


@pytest.mark.parametrize("shape", [(1, 1, 6), (1, 17, 6), (3, 11, 6), (2, 8, 6), (33, 6)])
def test_layer_by_rows_gives_what_it_gives(shape: tuple[int, ...]) -> None:
    layer = torch.nn.Linear(6, 4)
    inputs = torch.randn(shape)
    torch.testing.assert_close(by_rows(layer, inputs), layer(inputs))


@pytest.mark.parametrize("count", [1, 2])
def test_parts_are_few_usual_numbers_and_give_what_the_whole_gives(
    count: int, threads: int
) -> None:
    met = []

    def layers(one: Tensor, other: Tensor) -> Tensor:
        met.append(len(one))
        return one * 2 + other

    torch.set_num_threads(count)
    for rows in sorted(USUAL):
        one, other = torch.randn(rows, 3), torch.randn(rows, 3)
        assert torch.equal(in_parts(layers, one, other), one * 2 + other)
    assert USUAL.issuperset(met)
    assert max(met) == PART * count


@pytest.mark.parametrize("shape", [(1, 1, 6), (2, 5, 6), (5, 6)])
def test_gelu_is_torchs(shape: tuple[int, ...]) -> None:
    inputs = torch.randn(shape)
    assert gelu(inputs).is_contiguous()
    torch.testing.assert_close(gelu(inputs), F.gelu(inputs))


class Products(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Shapes of what oneDNN is asked for."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.shapes: set[tuple[str, tuple[int, ...], tuple[int, ...]]] = set()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        tensors = [value for value in args if isinstance(value, Tensor)]
        name = func.overloadpacket.__name__
        if name in PRODUCTS and tensors[0].dtype == torch.bfloat16:
            left, right = tensors[-2:] if name == "addmm" else tensors[:2]
            self.shapes.add((name, tuple(left.shape), tuple(right.shape)))
        elif name == "gelu" and tensors[0].is_contiguous():
            self.shapes.add((name, tuple(tensors[0].shape), ()))
        return func(*args, **(kwargs or {}))


def kinds(seen: Products) -> dict[tuple[Any, ...], int]:
    """How many numbers of rows each product was run with."""
    numbers: dict[tuple[Any, ...], set[tuple[int, ...]]] = {}
    for name, left, right in seen.shapes:
        numbers.setdefault((name, left[-1], right), set()).add(left[:-1])
    return {kind: len(rows) for kind, rows in numbers.items()}


@needs_bfloat16
@pytest.mark.parametrize("packed", [False, True], ids=["plain", "packed"])
@pytest.mark.parametrize("name", ARCHITECTURES)
@torch.inference_mode()
def test_texts_of_every_length_ask_for_few_shapes(name: str, packed: bool) -> None:
    classifier = make(name).cast(torch.bfloat16)
    if packed:
        classifier.pack()
    few = len({usual(length) for length in LENGTHS})
    seen = Products()
    limit = classifier.config.max_length or max(LENGTHS)
    lengths = [length for length in LENGTHS if length <= limit]
    with seen:
        for length in lengths:
            placed = predict.place(classifier, [[1] * length])
            predict.run(classifier, placed)
    assert seen.shapes or name in WITHIN or classifier.reader
    assert max(kinds(seen).values(), default=0) <= few < len(LENGTHS)


@needs_bfloat16
@pytest.mark.parametrize("name", ARCHITECTURES)
@torch.inference_mode()
def test_usual_length_changes_no_answer(name: str) -> None:
    """float32 as the reference: in bfloat16 the order of sums alone shows in the third digit."""
    torch.manual_seed(0)
    classifier = make(name)
    limit = classifier.config.max_length or max(LENGTHS)
    for length in {min(length, limit) for length in (3, 17, 33, 39)}:
        windows = [[5 + i % 7 for i in range(length)], [3] * max(1, length - 2)]
        exact = predict.run(classifier, predict.collate(windows))
        placed = predict.pad(classifier, windows)
        assert placed[0].shape == (2, classifier.usual_length(length))
        torch.testing.assert_close(
            torch.tensor(predict.run(classifier, placed)),
            torch.tensor(exact),
            rtol=1e-4,
            atol=1e-5,
        )

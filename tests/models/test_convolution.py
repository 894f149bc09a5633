"""The convolutional network against its formulas in plain loops, and how far a word is seen."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from models.cnn import CNNConfig, CNNEncoder, Convolution
from tests.models.plain import Vector, affine, gelu, norm

SMALL = CNNConfig(input_size=5, hidden_size=4, num_layers=4)


def small(**changes: Any) -> CNNEncoder:
    """In float64, every bias, scale and shift random, so that none can be left out unseen."""
    torch.manual_seed(0)
    encoder = CNNEncoder(replace(SMALL, **changes)).double().eval()
    for parameter in encoder.parameters():
        if parameter.ndim == 1:
            torch.nn.init.normal_(parameter)
    return encoder


def text(length: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    embeddings = torch.randn(1, length, SMALL.input_size, generator=generator, dtype=torch.float64)
    return embeddings, torch.ones(1, length, dtype=torch.bool)


def plus(x: Vector, y: Vector) -> Vector:
    return [a + b for a, b in zip(x, y, strict=True)]


def convolve(weight: list[Vector], bias: Vector, words: list[Vector], gap: int) -> list[Vector]:
    """Word by word, neighbour by neighbour; those beyond the text count nothing."""
    width = len(words[0])
    taps = len(weight[0]) // width
    convolved = []
    for t in range(len(words)):
        total = bias
        for tap in range(taps):
            neighbour = t + (tap - taps // 2) * gap
            if 0 <= neighbour < len(words):
                own = [row[tap * width : (tap + 1) * width] for row in weight]
                total = affine(own, total, words[neighbour])
        convolved.append(total)
    return convolved


def reference(encoder: CNNEncoder, embeddings: list[Vector]) -> list[Vector]:
    """The hidden states of one text (models/cnn.py)."""
    values = {name: tensor.tolist() for name, tensor in encoder.state_dict().items()}
    norms = [
        (values[f"norms.{layer}.weight"], values[f"norms.{layer}.bias"])
        for layer in range(encoder.config.num_layers)
    ]
    x: list[Vector] = []
    for layer in range(encoder.config.num_layers):
        read = [gelu(norm(state, *norms[layer - 1])) for state in x] or embeddings
        weight = values[f"convolutions.{layer}.linear.weight"]
        bias = values[f"convolutions.{layer}.linear.bias"]
        added = convolve(weight, bias, read, 2 ** (layer % encoder.config.dilation_cycle))
        x = [plus(*pair) for pair in zip(x, added, strict=True)] if x else added
    return [norm(state, *norms[-1]) for state in x]


@pytest.mark.parametrize("length", [1, 2, 13])
@pytest.mark.parametrize("changes", [{}, {"kernel_size": 5, "dilation_cycle": 2}])
def test_encoder_equals_its_formulas(length: int, changes: dict[str, int]) -> None:
    encoder = small(**changes)
    embeddings, mask = text(length)
    expected = torch.tensor([reference(encoder, embeddings[0].tolist())], dtype=torch.float64)
    torch.testing.assert_close(encoder(embeddings, mask), expected)


def test_padding_reads_as_the_end_of_the_text() -> None:
    encoder = small()
    embeddings, mask = text(13)
    mask[:, 9:] = False
    alone = encoder(embeddings[:, :9], mask[:, :9])
    torch.testing.assert_close(encoder(embeddings, mask)[:, :9], alone)


@pytest.mark.parametrize(("cycle", "reach"), [(1, 9), (3, 21), (6, 70)])
def test_word_is_seen_within_the_reach_and_not_beyond(cycle: int, reach: int) -> None:
    encoder = small(num_layers=9, dilation_cycle=cycle)
    embeddings, mask = text(2 * reach + 5)
    other = embeddings.clone()
    word = reach + 2
    other[:, word] += 1
    changed = (encoder(other, mask) != encoder(embeddings, mask)).any(-1)[0]
    seen = changed.nonzero().flatten().tolist()
    assert encoder.sight(9) == reach
    assert seen == list(range(word - reach, word + reach + 1))


@pytest.mark.parametrize("cycle", [1, 3])
@pytest.mark.parametrize("length", [3, 8, 9, 12])
def test_longest_path_is_the_least_stack_that_joins_both_ends(cycle: int, length: int) -> None:
    layers = small(dilation_cycle=cycle).longest_path(length)
    embeddings, mask = text(length)
    other = embeddings.clone()
    other[:, 0] += 1
    for num_layers, joined in ((layers - 1, False), (layers, True)):
        encoder = small(dilation_cycle=cycle, num_layers=num_layers)
        last, last_of_other = encoder(embeddings, mask)[:, -1], encoder(other, mask)[:, -1]
        assert torch.equal(last, last_of_other) != joined


def test_neighbours_alone_need_a_layer_a_word_and_doubling_gaps_their_logarithm() -> None:
    assert [small(dilation_cycle=1).longest_path(n) for n in (1, 2, 128, 1000)] == [1, 1, 127, 999]
    assert [small(dilation_cycle=20).longest_path(n) for n in (1, 2, 128, 129)] == [1, 1, 7, 8]


def test_shipped_sizes_see_21_words_to_each_side() -> None:
    encoder = CNNEncoder(CNNConfig())
    assert encoder.sight(encoder.config.num_layers) == 21


def test_depth_is_the_stack_whatever_the_length() -> None:
    assert [small().sequential_depth(length) for length in (1, 10_000)] == [4, 4]


def test_convolution_has_the_weights_known_on_paper() -> None:
    encoder = CNNEncoder(CNNConfig(input_size=100, hidden_size=128, num_layers=1))
    matrices = [parameter for parameter in encoder.parameters() if parameter.ndim > 1]
    assert sum(matrix.numel() for matrix in matrices) == 38_400


def test_convolution_equals_torchs() -> None:
    convolution = Convolution(5, 4, kernel_size=3, dilation=2).double()
    weight = convolution.linear.weight.view(4, 3, 5).transpose(1, 2)  # (outputs, inputs, k)
    embeddings, mask = text(9)
    expected = F.conv1d(
        embeddings.transpose(1, 2), weight, convolution.linear.bias, padding="same", dilation=2
    )
    torch.testing.assert_close(
        convolution(embeddings, ~mask.unsqueeze(-1)), expected.transpose(1, 2)
    )


@pytest.mark.parametrize("kernel_size", [1, 2, 4])
def test_kernel_without_two_sides_is_refused(kernel_size: int) -> None:
    with pytest.raises(ValueError, match=f"a kernel of {kernel_size} words"):
        CNNEncoder(CNNConfig(kernel_size=kernel_size))

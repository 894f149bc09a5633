"""The feed-forward network against its formulas in plain loops, and what a fixed width means."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from models.base import Classifier
from models.embedding import FrozenEmbedding
from models.errors import InputError
from models.fnn import FNNConfig, FNNEncoder
from models.pooling import POOLINGS
from models.registry import build
from tests.models.plain import Vector, affine, gelu, norm

SMALL = FNNConfig(input_size=5, max_length=7, word_size=3, hidden_size=4, num_layers=3)


def small(config: FNNConfig = SMALL) -> FNNEncoder:
    torch.manual_seed(0)
    return FNNEncoder(config).double().eval()


def text(length: int, seed: int = 1) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    embeddings = torch.randn(1, length, SMALL.input_size, generator=generator, dtype=torch.float64)
    return embeddings, torch.ones(1, length, dtype=torch.bool)


def reference(encoder: FNNEncoder, embeddings: list[Vector]) -> Vector:
    """The vector of one text, position by position (models/fnn.py)."""
    values = {name: tensor.tolist() for name, tensor in encoder.state_dict().items()}
    total = values["positions.bias"]
    for position, embedding in enumerate(embeddings):
        word = affine(values["narrow.weight"], values["narrow.bias"], embedding)
        own = slice(position * len(word), (position + 1) * len(word))
        total = affine([row[own] for row in values["positions.weight"]], total, word)
    state = gelu(norm(total, values["norm.weight"], values["norm.bias"]))
    for layer in range(len(encoder.layers)):
        weight, bias = values[f"layers.{layer}.weight"], values[f"layers.{layer}.bias"]
        state = gelu(affine(weight, bias, state))
    return state


@pytest.mark.parametrize("length", [1, 4, 7])
def test_encoder_equals_its_formulas(length: int) -> None:
    encoder = small()
    torch.nn.init.normal_(encoder.norm.weight)
    torch.nn.init.normal_(encoder.norm.bias)
    embeddings, mask = text(length)
    expected = torch.tensor(reference(encoder, embeddings[0].tolist()), dtype=torch.float64)
    hidden_states = encoder(embeddings, mask)
    torch.testing.assert_close(hidden_states, expected.expand(1, length, 4))


def test_short_text_is_one_with_zeros_in_the_later_places() -> None:
    encoder = small()
    torch.nn.init.zeros_(encoder.narrow.bias)
    embeddings, mask = text(3)
    whole = torch.cat((embeddings, embeddings.new_zeros(1, 4, 5)), dim=1)
    expected = encoder(whole, torch.ones(1, 7, dtype=torch.bool))[:, 0]
    torch.testing.assert_close(encoder(embeddings, mask)[:, 0], expected)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_every_pooling_gives_the_one_vector_back(pooling: str) -> None:
    embeddings, _ = text(6)
    mask = torch.arange(6) < torch.tensor([[4]])
    hidden_states = small()(embeddings, mask)
    pooled = POOLINGS[pooling](hidden_states, mask)  # type: ignore[index]
    torch.testing.assert_close(pooled, hidden_states[:, 0].repeat(1, pooled.shape[1] // 4))


def test_places_read_the_same_words_differently() -> None:
    encoder = small()
    embeddings, mask = text(5)
    exchanged = embeddings[:, [0, 3, 2, 1, 4]]
    assert not torch.allclose(encoder(exchanged, mask), encoder(embeddings, mask), atol=1e-3)


def test_same_word_in_every_place_of_equal_weights_has_no_order() -> None:
    encoder = small()
    with torch.no_grad():
        encoder.positions.weight.copy_(encoder.positions.weight[:, :3].repeat(1, 7))
    embeddings, mask = text(5)
    torch.testing.assert_close(encoder(embeddings.flip(1), mask), encoder(embeddings, mask))


def test_limit_is_hard() -> None:
    classifier: Classifier = build("fnn", FNNConfig(), FrozenEmbedding.random(10, 384)).eval()
    ids = torch.zeros(1, 129, dtype=torch.int64)
    assert classifier(ids[:, :128], ids[:, :128] == 0).isfinite().all()
    with pytest.raises(InputError, match="129 tokens; the encoder's window is 128"):
        classifier(ids, ids == 0)


def test_network_without_a_limit_is_refused() -> None:
    with pytest.raises(ValueError, match="max_length"):
        FNNEncoder(replace(SMALL, max_length=None))


def test_parameters_grow_with_the_positions() -> None:
    for positions, weights in ((10, 128_000), (20, 256_000)):
        config = FNNConfig(max_length=positions, word_size=100, hidden_size=128)
        assert FNNEncoder(config).positions.weight.numel() == weights


def test_operations_grow_with_the_text() -> None:
    encoder = small()
    grown = [encoder.flops(length + 1) - encoder.flops(length) for length in (1, 6)]
    assert grown == [2 * (5 * 3 + 3 * 4)] * 2
    assert [encoder.sequential_depth(length) for length in (1, 7)] == [3, 3]

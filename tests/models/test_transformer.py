"""The Transformer against its formulas in plain loops, by either way that attention is computed."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from models.transformer import TransformerConfig, TransformerEncoder
from tests.models.plain import Vector, affine, gelu, norm

SMALL = TransformerConfig(input_size=5, d_model=8, num_layers=2, num_heads=2, d_ff=6)
# The angles are made in float32: of a float64 encoder the rest is exact.
RTOL, ATOL = 1e-5, 1e-6


def small() -> TransformerEncoder:
    torch.manual_seed(0)
    encoder = TransformerEncoder(SMALL).double().eval()
    for name, parameter in encoder.named_parameters():
        if "norm" in name or name.endswith("bias"):  # which start as ones and zeros
            torch.nn.init.normal_(parameter)
    return encoder


def text(length: int, seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(1, length, SMALL.input_size, generator=generator, dtype=torch.float64)


def turned(x: Vector, position: int) -> Vector:
    """R(x): the pair (x_i, x_{i + hs/2}) turned by position · 10000^(-2i/hs)."""
    half = len(x) // 2
    turned = [0.0] * len(x)
    for i in range(half):
        angle = position * 10_000 ** (-2 * i / len(x))
        turned[i] = x[i] * math.cos(angle) - x[i + half] * math.sin(angle)
        turned[i + half] = x[i] * math.sin(angle) + x[i + half] * math.cos(angle)
    return turned


def attended(query: Vector, keys: list[Vector], values: list[Vector]) -> Vector:
    """softmax(q k^T / sqrt(hs)) v of one position."""
    scores = [sum(a * b for a, b in zip(query, key, strict=True)) for key in keys]
    weights = [math.exp(score / math.sqrt(len(query))) for score in scores]
    return [
        sum(w * value[i] for w, value in zip(weights, values, strict=True)) / sum(weights)
        for i in range(len(query))
    ]


def reference(encoder: TransformerEncoder, embeddings: list[Vector]) -> list[Vector]:
    """The states of one text, position by position (models/transformer.py)."""
    named = {name: tensor.tolist() for name, tensor in encoder.state_dict().items()}
    D, size = SMALL.d_model, SMALL.d_model // SMALL.num_heads

    def layer(name: str, x: Vector) -> Vector:
        return affine(named[f"{name}.weight"], named[f"{name}.bias"], x)

    def normed(name: str, x: Vector) -> Vector:
        return norm(x, named[f"{name}.weight"], named[f"{name}.bias"])

    states = [layer("project", embedding) for embedding in embeddings]
    for block in (f"blocks.{number}" for number in range(SMALL.num_layers)):
        projected = [
            layer(f"{block}.query_key_value", normed(f"{block}.attention_norm", x)) for x in states
        ]
        mixed: list[Vector] = [[] for _ in states]
        for start in range(0, D, size):  # a head
            queries = [turned(p[start : start + size], t) for t, p in enumerate(projected)]
            keys = [turned(p[D + start : D + start + size], t) for t, p in enumerate(projected)]
            values = [p[2 * D + start : 2 * D + start + size] for p in projected]
            for t, query in enumerate(queries):
                mixed[t] += attended(query, keys, values)
        for t, heads in enumerate(mixed):
            added = layer(f"{block}.attention_output", heads)
            x = [a + b for a, b in zip(states[t], added, strict=True)]
            wide = gelu(layer(f"{block}.expand", normed(f"{block}.feed_forward_norm", x)))
            narrow = layer(f"{block}.contract", wide)
            states[t] = [a + b for a, b in zip(x, narrow, strict=True)]
    return [normed("norm", x) for x in states]


@pytest.mark.parametrize("learning", [False, True])
@pytest.mark.parametrize("length", [1, 2, 7])
def test_encoder_equals_its_formulas(length: int, learning: bool) -> None:
    encoder, embeddings = small(), text(length)
    expected = torch.tensor([reference(encoder, embeddings[0].tolist())], dtype=torch.float64)
    with torch.set_grad_enabled(learning):
        states = encoder(embeddings, torch.ones(1, length, dtype=torch.bool))
    torch.testing.assert_close(states.detach(), expected, rtol=RTOL, atol=ATOL)

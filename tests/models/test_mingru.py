"""minGRU against its formulas in a plain loop, and its two schedules against each other."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from models.base import Schedule
from models.mingru import MinGRUConfig, MinGRUEncoder

SMALL = MinGRUConfig(input_size=6, d_model=8, num_layers=2, d_ff=12)


def encoder(config: MinGRUConfig) -> MinGRUEncoder:
    torch.manual_seed(0)
    return MinGRUEncoder(config).eval()


def loop(encoder: MinGRUEncoder, embeddings: Tensor) -> Tensor:
    """arXiv 2410.01201, section 3.1, word by word in float64, of one text: (T, E) -> (T, D)."""
    weights: dict[str, Tensor] = {
        name: tensor.double() for name, tensor in encoder.state_dict().items()
    }

    def linear(name: str, x: Tensor) -> Tensor:
        return weights[f"{name}.weight"] @ x + weights[f"{name}.bias"]

    def norm(name: str, x: Tensor) -> Tensor:
        centred = x - x.mean()
        scaled = centred / (centred.square().mean() + 1e-5).sqrt()
        return scaled * weights[f"{name}.weight"] + weights[f"{name}.bias"]

    stream = [linear("project", word) for word in embeddings.double()]
    for layer in range(encoder.config.num_layers):
        block = f"blocks.{layer}"
        kernel, bias = weights[f"{block}.conv.weight"], weights[f"{block}.conv.bias"]
        normed = [norm(f"{block}.recurrence_norm", x) for x in stream]
        state = torch.zeros_like(stream[0])
        for t, x in enumerate(stream):
            mixed = bias.clone()
            for back in range(min(len(kernel), t + 1)):
                mixed += kernel[-1 - back] * normed[t - back]
            gate, candidate = linear(f"{block}.gate_candidate", mixed).chunk(2)
            z = torch.sigmoid(gate)
            state = (1 - z) * state + z * candidate
            added = x + state
            expanded = F.gelu(linear(f"{block}.expand", norm(f"{block}.feed_forward_norm", added)))
            stream[t] = added + linear(f"{block}.contract", expanded)
    return torch.stack([norm("norm", x) for x in stream])


@pytest.mark.parametrize("schedule", ["serial", "parallel", None])
@pytest.mark.parametrize("length", [1, 2, 5, 33])
@torch.inference_mode()
def test_states_are_the_papers(schedule: Schedule | None, length: int) -> None:
    small = encoder(SMALL)
    embeddings = torch.randn(2, length, 6)
    states = small(embeddings, torch.ones(2, length, dtype=torch.bool), schedule)
    wanted = torch.stack([loop(small, text) for text in embeddings])
    torch.testing.assert_close(states.double(), wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("length", [1, 2, 37, 1000])
@torch.inference_mode()
def test_schedules_give_the_same_states(length: int) -> None:
    shipped = encoder(MinGRUConfig())
    embeddings, mask = torch.randn(2, length, 384), torch.ones(2, length, dtype=torch.bool)
    serial, parallel = (shipped(embeddings, mask, name) for name in shipped.schedules)
    torch.testing.assert_close(serial, parallel, rtol=1e-4, atol=1e-5)
    assert torch.equal(shipped(embeddings, mask), parallel)


def test_schedules_give_the_same_gradients() -> None:
    embeddings, mask = torch.randn(2, 21, 6), torch.ones(2, 21, dtype=torch.bool)
    gradients = []
    for name in MinGRUEncoder.schedules:
        small = encoder(SMALL)
        small(embeddings, mask, name).square().sum().backward()
        gradients.append([parameter.grad for parameter in small.parameters()])
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("length", "serial", "parallel"), [(1, 4, 4), (2, 8, 4), (128, 512, 28), (1000, 4000, 40)]
)
def test_depth_is_every_step_or_a_logarithm(length: int, serial: int, parallel: int) -> None:
    shipped = encoder(MinGRUConfig())
    assert shipped.sequential_depth(length, "serial") == serial
    assert shipped.sequential_depth(length, "parallel") == parallel
    assert shipped.sequential_depth(length) == parallel

"""Mamba against its formulas in a plain loop, and its two schedules against each other."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from models import mamba
from models.base import Schedule
from models.mamba import MambaBlock, MambaConfig, MambaEncoder

SMALL = MambaConfig(input_size=6, d_model=8, num_layers=2, d_state=3, dt_rank=2)


def encoder(config: MambaConfig) -> MambaEncoder:
    torch.manual_seed(0)
    return MambaEncoder(config).eval()


def loop(encoder: MambaEncoder, embeddings: Tensor) -> Tensor:
    """arXiv 2312.00752, algorithm 2 and figure 3, in float64, of one text: (T, E) -> (T, D)."""
    weights: dict[str, Tensor] = {
        name: tensor.double() for name, tensor in encoder.state_dict().items()
    }
    N, rank = encoder.config.d_state, encoder.config.dt_rank

    def norm(name: str, x: Tensor) -> Tensor:
        return x / (x.square().mean() + 1e-5).sqrt() * weights[f"{name}.weight"]

    bias = weights["project.bias"]
    stream = [weights["project.weight"] @ word + bias for word in embeddings.double()]
    for layer in range(encoder.config.num_layers):
        block = {
            name.removeprefix(f"blocks.{layer}."): tensor
            for name, tensor in weights.items()
            if name.startswith(f"blocks.{layer}.")
        }
        A = -torch.exp(block["A_log"]).T  # (I, N)
        state = torch.zeros_like(A)
        kernel = block["conv.weight"]
        seen: list[Tensor] = []
        for t, x in enumerate(stream):
            inner, gate = (block["in_proj.weight"] @ norm(f"blocks.{layer}.norm", x)).chunk(2)
            seen.append(inner)
            mixed = block["conv.bias"].clone()
            for back in range(min(len(kernel), t + 1)):
                mixed += kernel[-1 - back] * seen[t - back]
            inner = F.silu(mixed)
            low, B, C = torch.split(block["x_proj.weight"] @ inner, [rank, N, N])
            dt = F.softplus(block["dt_proj.weight"] @ low + block["dt_proj.bias"])
            for i in range(len(dt)):
                state[i] = torch.exp(dt[i] * A[i]) * state[i] + dt[i] * B * inner[i]
            y = state @ C + block["skip"] * inner
            stream[t] = x + block["out_proj.weight"] @ (y * F.silu(gate))
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
    shipped = encoder(MambaConfig())
    embeddings, mask = torch.randn(1, length, 384), torch.ones(1, length, dtype=torch.bool)
    serial, parallel = (shipped(embeddings, mask, name) for name in shipped.schedules)
    torch.testing.assert_close(serial, parallel, rtol=1e-4, atol=1e-5)
    assert torch.equal(shipped(embeddings, mask), parallel)


def test_schedules_give_the_same_gradients() -> None:
    embeddings, mask = torch.randn(2, 21, 6), torch.ones(2, 21, dtype=torch.bool)
    gradients = []
    for name in MambaEncoder.schedules:
        small = encoder(SMALL)
        small(embeddings, mask, name).square().sum().backward()
        gradients.append([parameter.grad for parameter in small.parameters()])
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-4)


def test_some_features_at_a_time_are_all_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    small = encoder(SMALL)
    embeddings, mask = torch.randn(2, 9, 6), torch.ones(2, 9, dtype=torch.bool)
    whole = small(embeddings, mask)
    monkeypatch.setattr(mamba, "STATES_AT_A_TIME", 2 * 9 * 3 * 5)  # 5 of 16 features
    monkeypatch.setattr(mamba, "NARROWEST", 1)
    torch.testing.assert_close(small(embeddings, mask), whole)


def test_state_space_starts_as_the_papers_does() -> None:
    block = MambaBlock(MambaConfig())
    steps = F.softplus(block.dt_proj.bias)
    assert 0.001 <= steps.min() < 0.002
    assert 0.05 < steps.max() <= 0.1001
    rates = -block.A_log.exp()
    torch.testing.assert_close(rates, -torch.arange(1.0, 9).unsqueeze(1).expand_as(rates))
    assert bool((block.skip == 1).all())


@pytest.mark.parametrize(
    ("length", "serial", "parallel"), [(1, 4, 4), (2, 8, 4), (128, 512, 28), (1000, 4000, 40)]
)
def test_depth_is_every_step_or_a_logarithm(length: int, serial: int, parallel: int) -> None:
    shipped = encoder(MambaConfig())
    assert shipped.sequential_depth(length, "serial") == serial
    assert shipped.sequential_depth(length, "parallel") == parallel
    assert shipped.sequential_depth(length) == parallel

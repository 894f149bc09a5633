"""Mamba's formulas in a plain loop, for test_schedules.py, and what it alone has."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from models import mamba
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


def test_some_features_at_a_time_are_all_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    small = encoder(SMALL)
    embeddings, mask = torch.randn(2, 9, 6), torch.ones(2, 9, dtype=torch.bool)
    whole = small(embeddings, mask)
    monkeypatch.setitem(mamba.STATES_AT_A_TIME, "cpu", 2 * 9 * 3 * 5)  # 5 of 16 features
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

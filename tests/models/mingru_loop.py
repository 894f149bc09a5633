"""minGRU's formulas in a plain loop: what test_schedules.py holds both its orders against."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

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

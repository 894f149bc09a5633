"""minGRU: a gated recurrence whose gate doesn't read the state, so that it can be run as a scan.

Feng et al. 2024 (arXiv 2410.01201), section 3.1. A GRU without U·h_{t-1} and without tanh:

    z_t = sigmoid(W_z x_t)
    g_t = W_h x_t
    h_t = (1 - z_t) * h_{t-1} + z_t * g_t

What remains is linear in h, so ``scan.py`` may run it step by step or in log2 T levels: the same
weights, the same answer, another order of the same work. As nothing nonlinear passes from step to
step, the blocks need it elsewhere: each, behind its norms and beside its residuals, is

    x = x + minGRU(conv(norm(x)))       the short convolution gives a gate its neighbours
    x = x + W_2 · gelu(W_1 · norm(x))
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from models.base import ClassifierConfig, Encoder, Schedule
from models.causal_conv import CausalConv, reach_by_layers
from models.packed import Linear
from models.scan import depth, scan


@dataclass(frozen=True, kw_only=True, slots=True)
class MinGRUConfig(ClassifierConfig):
    """Sizes of the encoder.

    Attributes:
        d_model: D, width of the states and of the stream between blocks.
        num_layers: blocks of recurrence and feed-forward.
        kernel_size: tokens that a gate sees: its own and those just before.
        d_ff: F, width of the feed-forward layer.
    """

    d_model: int = 256  # width and depth are the Transformer's
    num_layers: int = 4
    kernel_size: int = 4  # the paper's
    d_ff: int = 896  # 3.5 D: what the recurrence leaves of 2.5 million parameters


class MinGRUBlock(nn.Module):
    """Recurrence, then feed-forward, each behind a norm and beside a residual."""

    def __init__(self, config: MinGRUConfig) -> None:
        super().__init__()
        D = config.d_model
        self.recurrence_norm = nn.LayerNorm(D)
        self.conv = CausalConv(D, config.kernel_size)
        self.gate_candidate = Linear(D, 2 * D)  # W_z and W_h
        self.feed_forward_norm = nn.LayerNorm(D)
        self.expand = Linear(D, config.d_ff)
        self.contract = Linear(config.d_ff, D)

    def forward(self, hidden_states: Tensor, schedule: Schedule) -> Tensor:
        """(B, T, D) -> (B, T, D)."""
        mixed = self.conv(self.recurrence_norm(hidden_states))
        gate, candidate = self.gate_candidate(mixed).chunk(2, dim=-1)  # each (B, T, D)
        # In bfloat16 1 - 0.001 is 1: what is kept and what is added would not be shares of one.
        gate = gate.float()
        states = scan(torch.sigmoid(-gate), torch.sigmoid(gate) * candidate, schedule)
        hidden_states = hidden_states + states.to(hidden_states.dtype)
        expanded = self.expand.gelu(self.feed_forward_norm(hidden_states))  # (B, T, F)
        added: Tensor = hidden_states + self.contract(expanded)  # (B, T, F) -> (B, T, D)
        return added


class MinGRUEncoder(Encoder):
    """(B, T, E) -> (B, T, D), reading left to right. Padding on the right is never read back."""

    schedules: ClassVar[tuple[Schedule, ...]] = ("serial", "parallel")
    stride: ClassVar[int] = 1

    def __init__(self, config: MinGRUConfig) -> None:
        super().__init__()
        self.config = config
        self.output_size = config.d_model
        self.project = Linear(config.input_size, config.d_model)
        self.blocks = nn.ModuleList(MinGRUBlock(config) for _ in range(config.num_layers))
        self.norm = nn.LayerNorm(config.d_model)

    def forward(
        self, embeddings: Tensor, attention_mask: Tensor, schedule: Schedule | None = None
    ) -> Tensor:
        hidden_states = self.project(embeddings)  # (B, T, E) -> (B, T, D)
        for block in self.blocks:
            hidden_states = block(hidden_states, schedule or "parallel")
        normed: Tensor = self.norm(hidden_states)
        return normed

    def flops(self, length: int) -> int:
        D, layers = self.config.d_model, self.config.num_layers
        products = self.config.input_size * D + layers * (2 * D * D + 2 * D * self.config.d_ff)
        return 2 * length * products

    def sequential_depth(self, length: int, schedule: Schedule | None = None) -> int:
        return self.config.num_layers * depth(length, schedule)

    def reach(self) -> tuple[int | None, ...]:
        return reach_by_layers(self.config.num_layers, self.config.kernel_size)

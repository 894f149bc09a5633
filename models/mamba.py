"""Mamba: a state space whose step and whose inputs depend on the token it reads.

Gu and Dao 2023 (arXiv 2312.00752), section 3.4 and figure 3. In each block, over u = norm(x):

    v, gate = W_in u                            v = silu(conv(v))
    dt      = softplus(W_dt W_v v + b_dt)       B, C = W_B v, W_C v
    h_t     = exp(dt_t A) * h_{t-1} + (dt_t B_t) * v_t
    y_t     = C_t · h_t + skip * v_t
    x       = x + W_out (y * silu(gate))

The third line is algorithm 2 with the discretisation of the paper's code: zero-order hold for A,
Euler's rule for B. It is linear in h, so ``scan.py`` may run it step by step or in log2 T levels;
the paper's kernel does the latter within a GPU's fast memory, here every state is written out.

Symbols of this file: I = expansion · D, the inner width (``d_inner``); N, the states of each inner
feature. States stand as (B, T, N, I), not (B, T, I, N): the long side last suits a CPU's vectors.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.base import ClassifierConfig, Encoder, Schedule
from models.causal_conv import CausalConv, reach_by_layers
from models.packed import Linear
from models.rows import RowLinear
from models.scan import depth, scan

SHORTEST_STEP, LONGEST_STEP = 0.001, 0.1  # of dt before training, as in the paper's code

# What every step of every text keeps is T·N·I numbers: made all at once, they would leave the
# caches, and fill a gigabyte for a text of 16,384 tokens.
STATES_AT_A_TIME = {
    "cpu": 2**20,  # a training step took 1.8 times as long with all at once
    "cuda": 2**26,  # 256 MB: there each part costs a launch of every kernel
}
NARROWEST = 64  # inner features at a time, however long the text


@dataclass(frozen=True, kw_only=True, slots=True)
class MambaConfig(ClassifierConfig):
    """Sizes of the encoder.

    Attributes:
        d_model: D, width of the stream between blocks.
        num_layers: blocks.
        d_state: N, states of each inner feature.
        expansion: I / D.
        dt_rank: width through which dt is made.
        kernel_size: of the convolution.
    """

    d_model: int = 304  # 2.5 million parameters in four layers, as the Transformer has
    num_layers: int = 4
    d_state: int = 8  # the paper's 16 took 1.7 times as long to train on a CPU
    expansion: int = 2  # the paper's, as the rest
    dt_rank: int = 19  # D / 16
    kernel_size: int = 4


class MambaBlock(nn.Module):
    """The selective state space, gated, behind a norm and beside a residual."""

    def __init__(self, config: MambaConfig) -> None:
        super().__init__()
        D, N = config.d_model, config.d_state
        d_inner = config.expansion * D
        self.sizes = [config.dt_rank, N, N]
        self.norm = nn.RMSNorm(D, eps=1e-5)
        self.in_proj = Linear(D, 2 * d_inner, bias=False)
        self.conv = CausalConv(d_inner, config.kernel_size)
        self.x_proj = RowLinear(d_inner, sum(self.sizes), bias=False)
        self.dt_proj = RowLinear(config.dt_rank, d_inner)
        self.A_log = nn.Parameter(torch.arange(1.0, N + 1).log().unsqueeze(1).repeat(1, d_inner))
        self.skip = nn.Parameter(torch.ones(d_inner))
        self.out_proj = Linear(d_inner, D, bias=False)
        steps = torch.empty(d_inner).uniform_(math.log(SHORTEST_STEP), math.log(LONGEST_STEP)).exp()
        with torch.no_grad():
            self.dt_proj.bias.copy_(steps.expm1().log())  # the inverse of softplus

    def forward(self, hidden_states: Tensor, schedule: Schedule) -> Tensor:
        """(B, T, D) -> (B, T, D)."""
        inner, gate = self.in_proj(self.norm(hidden_states)).chunk(2, dim=-1)  # each (B, T, I)
        inner = F.silu(self.conv(inner))
        y = self.state_space(inner, schedule) * F.silu(gate)
        added: Tensor = hidden_states + self.out_proj(y)
        return added

    def state_space(self, inner: Tensor, schedule: Schedule) -> Tensor:
        """(B, T, I) -> (B, T, I). Features don't meet here, so some are done at a time."""
        rows, T, _ = inner.shape
        dt, B, C = self.x_proj(inner).split(self.sizes, dim=-1)
        dt = F.softplus(self.dt_proj(dt).float())  # (B, T, I)
        A = -self.A_log.float().exp()  # (N, I)
        B, C = B.float().unsqueeze(3), C.float().unsqueeze(2)  # (B, T, N, 1), (B, T, 1, N)
        width = max(NARROWEST, STATES_AT_A_TIME[inner.device.type] // (rows * T * len(A)))
        parts = []
        some = [torch.split(tensor, width, dim=-1) for tensor in (dt, A, dt * inner)]
        for step, rate, driven in zip(*some, strict=True):
            kept = (step.unsqueeze(2) * rate).exp_()  # (B, T, N, part of I)
            states = scan(kept, B * driven.unsqueeze(2), schedule)
            parts.append((C @ states).squeeze(2))  # (B, T, part of I)
        return torch.addcmul(torch.cat(parts, -1), self.skip, inner).to(inner.dtype)


class MambaEncoder(Encoder):
    """(B, T, E) -> (B, T, D), reading left to right. Padding on the right is never read back."""

    schedules: ClassVar[tuple[Schedule, ...]] = ("serial", "parallel")
    stride: ClassVar[int] = 1

    def __init__(self, config: MambaConfig) -> None:
        super().__init__()
        self.config = config
        self.output_size = config.d_model
        self.project = Linear(config.input_size, config.d_model)
        self.blocks = nn.ModuleList(MambaBlock(config) for _ in range(config.num_layers))
        self.norm = nn.RMSNorm(config.d_model, eps=1e-5)

    def forward(
        self, embeddings: Tensor, attention_mask: Tensor, schedule: Schedule | None = None
    ) -> Tensor:
        hidden_states = self.project(embeddings)  # (B, T, E) -> (B, T, D)
        # Under autocast too the stream between blocks keeps its digits, as in the paper's code.
        hidden_states = hidden_states.to(embeddings.dtype)
        for block in self.blocks:
            hidden_states = block(hidden_states, schedule or "parallel")
        normed: Tensor = self.norm(hidden_states)
        return normed

    def flops(self, length: int) -> int:
        D, N, rank = self.config.d_model, self.config.d_state, self.config.dt_rank
        d_inner = self.config.expansion * D
        # In and out, the three that select and dt's second half, the states read by C.
        block = d_inner * (3 * D + 2 * (rank + N) + N)
        return 2 * length * (self.config.input_size * D + self.config.num_layers * block)

    def sequential_depth(self, length: int, schedule: Schedule | None = None) -> int:
        return self.config.num_layers * depth(length, schedule)

    def reach(self) -> tuple[int | None, ...]:
        return reach_by_layers(self.config.num_layers, self.config.kernel_size)

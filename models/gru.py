"""Gated recurrent unit, one direction: the LSTM's idea with two gates and no second state.

Cho et al. 2014 (arXiv 1406.1078), section 2.3, in the form that ``nn.GRU`` computes. At step t, in
each layer:

    r, z = sigmoid(W x_t + b + U h_{t-1} + b_h), one half each
    n    = tanh(W_n x_t + b_n + r * (U_n h_{t-1} + b_hn))
    h_t  = (1 - z) * n + z * h_{t-1}

The paper's last version resets before the product, U_n (r * h_{t-1}). Here r comes after it, as in
the paper's first version, so that one product with h_{t-1} serves all three parts.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from models.base import ClassifierConfig, Schedule
from models.recurrence import GRU
from models.recurrent import RecurrentEncoder


@dataclass(frozen=True, kw_only=True, slots=True)
class GRUConfig(ClassifierConfig):
    """Sizes of the encoder.

    Attributes:
        hidden_size: D, width of the state of each layer.
        num_layers: layers, each over the states of the one below.
    """

    hidden_size: int = 464  # 2.48 million parameters in two layers
    num_layers: int = 2


class GRUEncoder(RecurrentEncoder):
    """(B, T, E) -> (B, T, D), reading left to right. Padding on the right is never read back."""

    def __init__(self, config: GRUConfig) -> None:
        super().__init__()
        self.config = config
        self.output_size = config.hidden_size
        self.gru = GRU(config.input_size, config.hidden_size, config.num_layers, batch_first=True)

    def forward(
        self, embeddings: Tensor, attention_mask: Tensor, schedule: Schedule | None = None
    ) -> Tensor:
        return self.gru.read(embeddings, attention_mask)  # (B, T, E) -> (B, T, D)

    def native(self, embeddings: Tensor, rows: Tensor) -> Tensor:
        return self.gru.native(embeddings, rows)

    def flops(self, length: int) -> int:
        D = self.config.hidden_size
        inputs = self.config.input_size + (self.config.num_layers - 1) * D
        return length * 2 * 3 * D * (inputs + self.config.num_layers * D)

    def sequential_depth(self, length: int, schedule: Schedule | None = None) -> int:
        return length * self.config.num_layers

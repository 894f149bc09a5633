"""Long short-term memory, one direction: the recurrence that Transformers replaced.

Hochreiter and Schmidhuber 1997, section 4, with the forget gate of Gers et al. 2000, section 3. At
step t, in each layer:

    i, f, o = sigmoid(W x_t + U h_{t-1} + b), one third each
    g       = tanh(W_g x_t + U_g h_{t-1} + b_g)
    c_t     = f * c_{t-1} + i * g
    h_t     = o * tanh(c_t)

h_t needs h_{t-1}: T·layers steps wait for one another. A layer takes one call (``steps.c`` or
oneDNN on a CPU, cuDNN on a GPU), which removes the overhead of a step but not the waiting.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from models.base import ClassifierConfig, Schedule
from models.recurrence import LSTM
from models.recurrent import RecurrentEncoder


@dataclass(frozen=True, kw_only=True, slots=True)
class LSTMConfig(ClassifierConfig):
    """Sizes of the encoder.

    Attributes:
        hidden_size: D, width of the state of each layer.
        num_layers: layers, each over the states of the one below.
        dropout: between layers, in training.
    """

    hidden_size: int = 400  # 2.54 million parameters in two layers
    num_layers: int = 2
    dropout: float = 0.0


class LSTMEncoder(RecurrentEncoder):
    """(B, T, E) -> (B, T, D), reading left to right. Padding on the right is never read back."""

    def __init__(self, config: LSTMConfig) -> None:
        super().__init__()
        self.config = config
        self.output_size = config.hidden_size
        self.lstm = LSTM(
            config.input_size,
            config.hidden_size,
            config.num_layers,
            batch_first=True,
            dropout=config.dropout,
        )

    def forward(
        self, embeddings: Tensor, attention_mask: Tensor, schedule: Schedule | None = None
    ) -> Tensor:
        return self.lstm.read(embeddings, attention_mask)  # (B, T, E) -> (B, T, D)

    def native(self, embeddings: Tensor, rows: Tensor) -> Tensor:
        return self.lstm.native(embeddings, rows)

    def flops(self, length: int) -> int:
        D = self.config.hidden_size
        inputs = self.config.input_size + (self.config.num_layers - 1) * D
        return length * 2 * 4 * D * (inputs + self.config.num_layers * D)

    def sequential_depth(self, length: int, schedule: Schedule | None = None) -> int:
        return length * self.config.num_layers

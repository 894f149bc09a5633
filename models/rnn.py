"""The simple recurrent network, one direction: a state and nothing that guards it.

Elman 1990, "Finding structure in time" (Cognitive Science 14), figure 2. At step t, in each layer:

    h_t = tanh(W x_t + b + U h_{t-1} + b_h)

What a word left in the state goes through U at every step after it. U starts orthogonal (Saxe et
al. 2014, arXiv 1312.6120), which keeps the length of what it is given, tanh aside. torch's default,
uniform within 1/sqrt(D), shrinks it to 1/sqrt(3) a step: to 0.4% in ten words.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from models.base import ClassifierConfig, Schedule
from models.recurrence import RNN
from models.recurrent import RecurrentEncoder


@dataclass(frozen=True, kw_only=True, slots=True)
class RNNConfig(ClassifierConfig):
    """Sizes of the encoder.

    Attributes:
        hidden_size: D, width of the state of each layer.
        num_layers: layers, each over the states of the one below.
    """

    hidden_size: int = 848  # 2.49 million parameters in two layers
    num_layers: int = 2


class RNNEncoder(RecurrentEncoder):
    """(B, T, E) -> (B, T, D), reading left to right. Padding on the right is never read back."""

    def __init__(self, config: RNNConfig) -> None:
        super().__init__()
        self.config = config
        self.output_size = config.hidden_size
        self.rnn = RNN(config.input_size, config.hidden_size, config.num_layers, batch_first=True)
        for name, parameter in self.rnn.named_parameters():
            if name.startswith("weight_hh"):
                nn.init.orthogonal_(parameter)

    def forward(
        self, embeddings: Tensor, attention_mask: Tensor, schedule: Schedule | None = None
    ) -> Tensor:
        return self.rnn.read(embeddings, attention_mask)  # (B, T, E) -> (B, T, D)

    def native(self, embeddings: Tensor, rows: Tensor) -> Tensor:
        return self.rnn.native(embeddings, rows)

    def flops(self, length: int) -> int:
        D = self.config.hidden_size
        inputs = self.config.input_size + (self.config.num_layers - 1) * D
        return length * 2 * D * (inputs + self.config.num_layers * D)

    def sequential_depth(self, length: int, schedule: Schedule | None = None) -> int:
        return length * self.config.num_layers

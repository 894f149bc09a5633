"""A feed-forward network: words side by side in one vector, read by fully connected layers.

The first neural language model read its words so (Bengio et al. 2003, JMLR 3, section 2). Each
position t of the text has weights of its own, W_t, so the order of words is known by place alone:

    f_t = P e_t                                         narrow: P is the same for every word
    h_1 = gelu(norm(b_1 + W_1 f_1 + ... + W_T f_T))     one product over the flattened text
    h_l = gelu(W_l h_{l-1} + b_l)

There are weights for ``max_length`` positions and none beyond: the limit is hard. A shorter text
takes part with its first T alone, which is what zeros in all the later places would come to.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional as F

from models.base import ClassifierConfig, Encoder, Schedule
from models.pooling import Pooling
from models.rows import RowLinear


@dataclass(frozen=True, kw_only=True, slots=True)
class FNNConfig(ClassifierConfig):
    """Sizes of the encoder.

    Attributes:
        word_size: width that each embedding is narrowed to before the words are put side by side.
        hidden_size: D, width of every fully connected layer.
        num_layers: fully connected layers, the first over all positions.
    """

    # Each position costs word_size · D = 18,432 parameters of its own: 128 of them are the budget.
    max_length: int | None = 128
    pooling: Pooling = "last"  # the one vector of the text stands at every position
    word_size: int = 64
    hidden_size: int = 288  # 2.47 million parameters in two layers
    num_layers: int = 2


class FNNEncoder(Encoder):
    """(B, T, E) -> (B, T, D): one vector a text, repeated, which every pooling gives back."""

    def __init__(self, config: FNNConfig) -> None:
        super().__init__()
        if config.max_length is None:
            raise ValueError("a feed-forward network has a window: max_length must be a number")
        self.config = config
        self.output_size = config.hidden_size
        D = config.hidden_size
        self.narrow = RowLinear(config.input_size, config.word_size)
        self.positions = nn.Linear(config.max_length * config.word_size, D)
        self.norm = nn.LayerNorm(D)
        self.layers = nn.ModuleList(nn.Linear(D, D) for _ in range(config.num_layers - 1))

    def forward(
        self, embeddings: Tensor, attention_mask: Tensor, schedule: Schedule | None = None
    ) -> Tensor:
        words = self.narrow(embeddings).masked_fill(~attention_mask.unsqueeze(-1), 0.0)
        flat = words.flatten(1)  # (B, T, word_size) -> (B, T·word_size)
        weight = self.positions.weight[:, : flat.shape[1]]  # (D, T·word_size)
        hidden_state = F.gelu(self.norm(F.linear(flat, weight, self.positions.bias)))  # (B, D)
        for layer in self.layers:
            hidden_state = F.gelu(layer(hidden_state))
        repeated: Tensor = hidden_state.unsqueeze(1).expand(-1, embeddings.shape[1], -1)
        return repeated  # (B, T, D), no copy

    def flops(self, length: int) -> int:
        D, size = self.config.hidden_size, self.config.word_size
        words = length * (self.config.input_size * size + size * D)
        return 2 * (words + (self.config.num_layers - 1) * D * D)

    def sequential_depth(self, length: int, schedule: Schedule | None = None) -> int:
        return self.config.num_layers

    def reach(self) -> tuple[int | None, ...]:
        return (None,)  # every word is in the first layer's sum

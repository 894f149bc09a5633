"""Convolutions over the words: each layer reads every word together with a neighbour to each side.

Kim 2014 (arXiv 1408.5882) read sentences with one such layer over the embeddings. Here more follow
it, each beside a residual with norm and gelu before the convolution (He et al. 2016, arXiv
1603.05027, figure 4e), and the neighbours are d places away (dilation; Bai et al. 2018, arXiv
1803.01271, section 3.3). With weights W_j for the place j, -(k-1)/2 <= j <= (k-1)/2:

    x_t = b + sum_j W_j e_{t+j}             the first layer
    n   = gelu(norm(x))                     each later one; 0 at padding and beyond the text
    x_t = x_t + b + sum_j W_j n_{t+j·d}     d = 2, 4, 1, 2, 4, 1, ...

No layer waits along the words: the depth is the stack's, whatever the length. The price is a local
view: after nine layers a hidden state has read 21 words to each side of its own, and words that no
state has read together meet in the pooling alone.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.base import ClassifierConfig, Encoder, Schedule
from models.packed import Linear
from models.rows import gelu


@dataclass(frozen=True, kw_only=True, slots=True)
class CNNConfig(ClassifierConfig):
    """Sizes of the encoder.

    Attributes:
        hidden_size: D.
        num_layers: convolutions.
        kernel_size: k, words that one convolution reads at each position; odd.
        dilation_cycle: layers after which the dilation, doubling from 1, is 1 again.
    """

    hidden_size: int = 304  # 2.58 million parameters in nine layers
    num_layers: int = 9
    kernel_size: int = 3
    dilation_cycle: int = 3  # longer leaps would find padding beside most words of a sentence


class Convolution(nn.Module):
    """A convolution along the words, as one product of each word and its neighbours side by side.

    ``nn.Conv1d`` computes the same. On one core it is as fast for a batch, and three to four times
    slower for one short text once the neighbours aren't adjacent.
    """

    def __init__(self, inputs: int, outputs: int, kernel_size: int, dilation: int) -> None:
        super().__init__()
        self.kernel_size, self.dilation = kernel_size, dilation
        self.linear = Linear(kernel_size * inputs, outputs)

    def forward(self, words: Tensor, padding: Tensor) -> Tensor:
        """(B, T, inputs) -> (B, T, outputs); ``padding`` is (B, T, 1), True where no word is."""
        T = words.shape[1]
        margin = self.kernel_size // 2 * self.dilation
        words = F.pad(words.masked_fill(padding, 0.0), (0, 0, margin, margin))
        shifts = range(0, self.kernel_size * self.dilation, self.dilation)
        neighbours = torch.cat([words[:, shift : shift + T] for shift in shifts], dim=-1)
        convolved: Tensor = self.linear(neighbours)  # (B, T, k·inputs) -> (B, T, outputs)
        return convolved


class CNNEncoder(Encoder):
    """(B, T, E) -> (B, T, D) through ``num_layers`` convolutions."""

    def __init__(self, config: CNNConfig) -> None:
        super().__init__()
        if config.kernel_size < 3 or config.kernel_size % 2 == 0:
            raise ValueError(f"a kernel of {config.kernel_size} words has no two even sides")
        self.config = config
        self.output_size = config.hidden_size
        D = config.hidden_size
        self.convolutions = nn.ModuleList(
            Convolution(
                D if layer else config.input_size, D, config.kernel_size, self.dilation(layer)
            )
            for layer in range(config.num_layers)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(D) for _ in range(config.num_layers))

    def dilation(self, layer: int) -> int:
        """Places between the words that a layer, counted from 0, reads together."""
        return 1 << layer % self.config.dilation_cycle

    def sight(self, layers: int) -> int:
        """Words that the first ``layers`` of such a stack see to each side of a word."""
        cycles, rest = divmod(layers, self.config.dilation_cycle)
        places = cycles * ((1 << self.config.dilation_cycle) - 1) + (1 << rest) - 1
        return self.config.kernel_size // 2 * places

    def forward(
        self, embeddings: Tensor, attention_mask: Tensor, schedule: Schedule | None = None
    ) -> Tensor:
        padding = ~attention_mask.unsqueeze(-1)  # (B, T, 1)
        first, *others = self.convolutions
        *norms, last_norm = self.norms
        hidden_states: Tensor = first(embeddings, padding)  # (B, T, E) -> (B, T, D)
        for norm, convolution in zip(norms, others, strict=True):
            hidden_states = hidden_states + convolution(gelu(norm(hidden_states)), padding)
        normed: Tensor = last_norm(hidden_states)
        return normed

    def flops(self, length: int) -> int:
        D = self.config.hidden_size
        inputs = self.config.input_size + (self.config.num_layers - 1) * D
        return length * 2 * self.config.kernel_size * inputs * D

    def sequential_depth(self, length: int, schedule: Schedule | None = None) -> int:
        return self.config.num_layers

    def reach(self) -> tuple[int | None, ...]:
        return tuple(self.sight(layer + 1) for layer in range(self.config.num_layers))

    def longest_path(self, length: int) -> int:
        """Layers from the first word to the last, if there were enough of them to join the two."""
        return next(n for n in itertools.count(1) if self.sight(n) >= length - 1)

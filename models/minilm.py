"""The pretrained Transformer: MiniLM, 6 layers, in plain torch. The accurate one.

Architecture of BERT (Devlin et al. 2018, arXiv 1810.04805), distilled by Wang et al. 2020
(arXiv 2002.10957). Unlike ``transformer``: positions are learned and added once, the norm stands
after each residual, and it starts from weights that have read far more text than reviews.

    x = norm(word + position + type)
    x = norm(x + W_o · attention(x))
    x = norm(x + W_2 · gelu(W_1 · x))

Different from the reference: the word table is the shared, frozen one, and the type table, of which
a single text only ever uses row 0, is folded into the positions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from models.attending import AttendingEncoder
from models.base import ClassifierConfig
from models.layout import Layout
from models.packed import Linear
from models.stack import Parts


@dataclass(frozen=True, kw_only=True, slots=True)
class MiniLMConfig(ClassifierConfig):
    """Sizes of the pretrained encoder; only the labels and the pooling are free.

    Attributes:
        num_layers: blocks of attention and feed-forward.
        num_heads: nh.
        d_ff: F, width of the feed-forward layer.
        layer_norm_eps: as it was pretrained.
    """

    max_length: int | None = 512  # the positions it was pretrained with
    num_layers: int = 6
    num_heads: int = 12
    d_ff: int = 1536
    layer_norm_eps: float = 1e-12


class MiniLMBlock(nn.Module):
    """Attention, then feed-forward, each with a residual and a norm after it."""

    def __init__(self, config: MiniLMConfig) -> None:
        super().__init__()
        D = config.input_size
        self.num_heads = config.num_heads
        self.query_key_value = Linear(D, 3 * D)
        self.attention_output = Linear(D, D)
        self.attention_norm = nn.LayerNorm(D, eps=config.layer_norm_eps)
        self.expand = Linear(D, config.d_ff)
        self.contract = Linear(config.d_ff, D)
        self.feed_forward_norm = nn.LayerNorm(D, eps=config.layer_norm_eps)

    def forward(
        self, hidden_states: Tensor, layout: Layout, biases: Sequence[Tensor | None]
    ) -> Tensor:
        """(B, T, D) -> (B, T, D), or (N, D) -> (N, D) where ``layout`` is flat.

        Args:
            hidden_states: as ``layout`` gathers them.
            layout: of the batch.
            biases: of its parts, as attention takes them.
        """
        D = hidden_states.shape[-1]
        projected = self.query_key_value(hidden_states)  # (…, 3·D)
        projected = projected.view(-1, 3, self.num_heads, D // self.num_heads)
        attended = layout.attend(projected, biases)  # (N, 3, nh, hs) -> (N, D)
        return layout.by_token(self.feed_forward, hidden_states, attended.view_as(hidden_states))

    def feed_forward(self, hidden_states: Tensor, attended: Tensor) -> Tensor:
        """All after attention, each (…, D) -> (…, D)."""
        hidden_states = self.attention_norm(hidden_states + self.attention_output(attended))
        fed_forward = self.contract(self.expand.gelu(hidden_states))  # (…, F) -> (…, D)
        normed: Tensor = self.feed_forward_norm(hidden_states + fed_forward)
        return normed


class MiniLMEncoder(AttendingEncoder):
    """(B, T, E) -> (B, T, D) with D = E."""

    def __init__(self, config: MiniLMConfig) -> None:
        super().__init__()
        if config.max_length is None:
            raise ValueError("MiniLM has a window: max_length can't be None")
        if config.input_size % config.num_heads:
            raise ValueError(f"{config.num_heads} heads don't share {config.input_size} evenly")
        self.config = config
        self.output_size = config.input_size
        self.positions = nn.Embedding(config.max_length, config.input_size)
        self.embedding_norm = nn.LayerNorm(config.input_size, eps=config.layer_norm_eps)
        self.blocks = nn.ModuleList(MiniLMBlock(config) for _ in range(config.num_layers))

    def place(self, embeddings: Tensor) -> Tensor:
        table: Tensor = self.positions.weight
        return embeddings + table[: embeddings.shape[1]]

    def read(self, embeddings: Tensor, layout: Layout) -> Tensor:
        hidden_states: Tensor = self.embedding_norm(embeddings)
        biases = self.biases(layout, hidden_states.dtype)
        for block in self.blocks:
            hidden_states = block(hidden_states, layout, biases)
        return hidden_states

    def parts(self) -> Parts | None:
        return Parts(
            blocks=cast(Sequence[MiniLMBlock], self.blocks),
            heads=self.config.num_heads,
            norms_first=False,
            rotates=False,
            positions=self.positions,
            first_norm=self.embedding_norm,
        )

    def biases(self, layout: Layout, dtype: torch.dtype) -> Sequence[Tensor | None]:
        """What attention is told of each part beside its states, in their ``dtype``: its mask."""
        return layout.biases(dtype)

    def flops(self, length: int) -> int:
        D, layers = self.config.input_size, self.config.num_layers
        products = layers * (4 * D * D + 2 * D * self.config.d_ff)
        return 2 * length * products + layers * 4 * length * length * D

    @property
    def num_layers(self) -> int:
        return self.config.num_layers

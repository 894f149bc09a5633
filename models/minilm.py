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

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from models.attention import UNMASKED, Padding, attend
from models.base import ClassifierConfig, Encoder, Schedule
from models.packed import Linear


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

    def forward(self, hidden_states: Tensor, padding: Padding) -> Tensor:
        """(B, T, D) -> (B, T, D), or (R, D) -> (R, D) where ``padding`` is flat."""
        B, T, D = *padding.shape, hidden_states.shape[-1]
        projected = padding.spread(self.query_key_value(hidden_states))  # (B, T, 3·D)
        projected = projected.view(B, T, 3, self.num_heads, D // self.num_heads)
        query, key, value = projected.permute(2, 0, 3, 1, 4).unbind(0)  # each (B, nh, T, hs)
        attended = attend(query, key, value, padding.mask)
        attended = attended.transpose(1, 2).reshape(B, T, D)  # (B, nh, T, hs) -> (B, T, D)
        attended = self.attention_output(padding.gather(attended))
        hidden_states = self.attention_norm(hidden_states + attended)
        fed_forward = self.contract(self.expand.gelu(hidden_states))  # (…, F) -> (…, D)
        normed: Tensor = self.feed_forward_norm(hidden_states + fed_forward)
        return normed


class MiniLMEncoder(Encoder):
    """(B, T, E) -> (B, T, D) with D = E.

    Attributes:
        skip_padding: layers leave padding out where much of a batch is; else they compute it too.
    """

    exact_up_to: ClassVar[int] = UNMASKED
    skip_padding = True

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

    def forward(
        self, embeddings: Tensor, attention_mask: Tensor, schedule: Schedule | None = None
    ) -> Tensor:
        T = embeddings.shape[1]
        hidden_states: Tensor = self.embedding_norm(embeddings + self.positions.weight[:T])
        padding = Padding.of(attention_mask, skip=self.skip_padding)
        hidden_states = padding.gather(hidden_states)
        padding = self.told(padding, hidden_states.dtype)
        for block in self.blocks:
            hidden_states = block(hidden_states, padding)
        return padding.spread(hidden_states)

    def told(self, padding: Padding, dtype: torch.dtype) -> Padding:
        """What attention is told of a batch beside its states, in their ``dtype``: its padding."""
        return padding

    def flops(self, length: int) -> int:
        D, layers = self.config.input_size, self.config.num_layers
        products = layers * (4 * D * D + 2 * D * self.config.d_ff)
        return 2 * length * products + layers * 4 * length * length * D

    def sequential_depth(self, length: int, schedule: Schedule | None = None) -> int:
        return self.config.num_layers

    def reach(self) -> tuple[int | None, ...]:
        return (None,)

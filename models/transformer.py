"""A self-attention encoder of the same size as the recurrent ones.

Vaswani et al. 2017 (arXiv 1706.03762), section 3.1, with two later changes: the layer norm stands
before each sub-layer (arXiv 2002.04745), which trains without warm-up tricks, and positions enter
as rotations of queries and keys (RoFormer, arXiv 2104.09864, equation 34), which tell distance
and order without parameters of their own. In each layer:

    x = x + W_o · softmax(R(q) R(k)^T / sqrt(hs)) v
    x = x + W_2 · gelu(W_1 · norm(x))

Every word sees every other in one step: a layer is one step deep, whatever the length.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from torch import Tensor, nn

from models.attending import AttendingEncoder
from models.base import ClassifierConfig
from models.layout import Layout
from models.packed import Linear
from models.rotation import angles
from models.stack import Parts


@dataclass(frozen=True, kw_only=True, slots=True)
class TransformerConfig(ClassifierConfig):
    """Sizes of the encoder.

    Attributes:
        d_model: D.
        num_layers: blocks of attention and feed-forward.
        num_heads: nh; D / nh must be even.
        d_ff: F, width of the feed-forward layer.
    """

    max_length: int | None = 512  # attention costs T² and was trained up to here
    d_model: int = 256
    num_layers: int = 4
    num_heads: int = 4
    d_ff: int = 704  # 2.75 D rather than 4 D: a fourth layer for the same 2.6 million parameters


class TransformerBlock(nn.Module):
    """Attention, then feed-forward, each behind a norm and beside a residual."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        D = config.d_model
        self.num_heads = config.num_heads
        self.attention_norm = nn.LayerNorm(D)
        self.query_key_value = Linear(D, 3 * D)
        self.attention_output = Linear(D, D)
        self.feed_forward_norm = nn.LayerNorm(D)
        self.expand = Linear(D, config.d_ff)
        self.contract = Linear(config.d_ff, D)

    def forward(
        self,
        hidden_states: Tensor,
        layout: Layout,
        biases: Sequence[Tensor | None],
        rotation: Tensor,
    ) -> Tensor:
        """(B, T, D) -> (B, T, D), or (N, D) -> (N, D) where ``layout`` is flat.

        Args:
            hidden_states: as ``layout`` gathers them.
            layout: of the batch.
            biases: of its parts, as attention takes them.
            rotation: of its positions, likewise.
        """
        D = hidden_states.shape[-1]
        projected = self.query_key_value(self.attention_norm(hidden_states))  # (…, 3·D)
        projected = projected.view(-1, 3, self.num_heads, D // self.num_heads)  # (N, 3, nh, hs)
        attended = layout.attend(projected, biases, rotation)  # (N, D)
        return layout.by_token(self.feed_forward, hidden_states, attended.view_as(hidden_states))

    def feed_forward(self, hidden_states: Tensor, attended: Tensor) -> Tensor:
        """All after attention, each (…, D) -> (…, D)."""
        hidden_states = hidden_states + self.attention_output(attended)
        expanded = self.expand.gelu(self.feed_forward_norm(hidden_states))  # (…, F)
        added: Tensor = hidden_states + self.contract(expanded)  # (…, F) -> (…, D)
        return added


class TransformerEncoder(AttendingEncoder):
    """(B, T, E) -> (B, T, D) through ``num_layers`` blocks."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        if config.d_model % (2 * config.num_heads):
            raise ValueError(
                f"{config.num_heads} heads don't share {config.d_model} features in pairs"
            )
        self.config = config
        self.output_size = config.d_model
        self.project = Linear(config.input_size, config.d_model)
        self.blocks = nn.ModuleList(TransformerBlock(config) for _ in range(config.num_layers))
        self.norm = nn.LayerNorm(config.d_model)
        self.initialize()

    def initialize(self) -> None:
        """Small weights, smaller still where they feed the residual (GPT-2's 1/sqrt(2·layers))."""
        for name, parameter in self.named_parameters():
            if parameter.ndim == 2:
                into_residual = name.endswith(("attention_output.weight", "contract.weight"))
                scale = (2 * self.config.num_layers) ** -0.5 if into_residual else 1.0
                nn.init.xavier_uniform_(parameter, gain=scale)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)

    def place(self, embeddings: Tensor) -> Tensor:
        return embeddings

    def read(self, embeddings: Tensor, layout: Layout) -> Tensor:
        hidden_states = self.project(embeddings)  # (…, E) -> (…, D)
        dtype = hidden_states.dtype
        biases = layout.biases(dtype)
        head_size = self.config.d_model // self.config.num_heads
        rotation = layout.rotation(angles(layout.batch[1], head_size, embeddings.device), dtype)
        for block in self.blocks:
            hidden_states = block(hidden_states, layout, biases, rotation)
        normed: Tensor = self.norm(hidden_states)
        return normed

    def parts(self) -> Parts | None:
        return Parts(
            blocks=cast(Sequence[TransformerBlock], self.blocks),
            heads=self.config.num_heads,
            norms_first=True,
            rotates=True,
            project=self.project,
            last_norm=self.norm,
        )

    def flops(self, length: int) -> int:
        D, layers = self.config.d_model, self.config.num_layers
        products = self.config.input_size * D + layers * (4 * D * D + 2 * D * self.config.d_ff)
        return 2 * length * products + layers * 4 * length * length * D

    @property
    def num_layers(self) -> int:
        return self.config.num_layers

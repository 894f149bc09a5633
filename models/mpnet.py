"""A larger pretrained Transformer: MPNet, 12 layers, in plain torch. A teacher; it isn't shipped.

Song et al. 2020 (arXiv 2004.09297), as it was pretrained for sentences. It is ``minilm``'s kind of
Transformer, with twice the layers, each twice as wide, and one thing added: in every layer, and
for each head, attention knows how far apart two words are (arXiv 1910.10683, section 2.1):

    attention(q, k, v) = softmax(q · k^T / sqrt(hs) + b(distance)) v

``b`` is a table of 32 rows, half of them for words that come later; near distances have a row each,
further ones share rows that grow wider, up to 128 words.

Its words are 768 wide, so its folder is one of another folder of models than ``weights/``, with a
word table of its own over the same tokenizer.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.layout import Layout
from models.minilm import MiniLMConfig, MiniLMEncoder


@dataclass(frozen=True, kw_only=True, slots=True)
class MPNetConfig(MiniLMConfig):
    """Sizes of the pretrained encoder; only the labels and the pooling are free.

    Attributes:
        num_buckets: rows of the table of distances.
        max_distance: words apart from which on all share a row.
    """

    input_size: int = 768
    num_layers: int = 12
    d_ff: int = 3072
    layer_norm_eps: float = 1e-5
    num_buckets: int = 32
    max_distance: int = 128


class MPNetEncoder(MiniLMEncoder):
    """(B, T, E) -> (B, T, D) with D = E.

    The table of distances stays as it was pretrained, as the words do.
    """

    config: MPNetConfig

    def __init__(self, config: MPNetConfig) -> None:
        super().__init__(config)
        self.distances = nn.Embedding(config.num_buckets, config.num_heads)
        self.distances.requires_grad_(False)

    def parts(self) -> None:
        return None  # the library adds nothing to scores

    def biases(self, layout: Layout, dtype: torch.dtype) -> list[Tensor | None]:
        biases: list[Tensor | None] = []
        for part in layout.parts:
            bias = self.by_distance(part.shape[1]).to(dtype)  # (1, nh, L, L)
            if part.mask is not None:
                bias = bias.masked_fill(~part.mask, torch.finfo(dtype).min)  # (R, nh, L, L)
            biases.append(bias)
        return biases

    def by_distance(self, length: int) -> Tensor:
        """What is added to the score of each query and key, (1, nh, L, L), by how far apart."""
        positions = torch.arange(length, device=self.distances.weight.device)
        buckets = bucket(positions - positions[:, None], self.config)  # (L, L): of query and key
        added: Tensor = self.distances(buckets).permute(2, 0, 1)[None]
        return added


def bucket(distance: Tensor, config: MPNetConfig) -> Tensor:
    """The row of the table for each signed distance, > 0 where the key comes later.

    Half of the rows are for either direction. Of those half again stand for one distance each; the
    others part what lies between them and ``max_distance`` evenly by its logarithm.
    """
    rows = config.num_buckets // 2
    exact = rows // 2
    far = distance.abs()
    share = torch.log(far.clamp(min=1) / exact) / math.log(config.max_distance / exact)
    coarse = (exact + (share * (rows - exact)).long()).clamp(max=rows - 1)
    return torch.where(far < exact, far, coarse) + rows * (distance > 0)

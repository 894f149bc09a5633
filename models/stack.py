"""A Transformer's encoder in one native call, on a CPU's matrix tiles.

By torch's calls half of a forward in bfloat16 was products, and those ran at a third of what the
tiles can do: each call reads rows that have left the cache, writes rows that will, and starts over
with what its shape needs. Between them stood norms, sums, copies for attention, and Python.
``csrc/encoder.c`` takes some tokens at a time through all that reads each by itself.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from models import native
from models.line import Line
from models.packed import Linear, spent
from models.pooling import Pooling, pooled_size
from models.rotation import angles, waves

ALIGNED = 64  # bytes of a row of a matrix tile
SIDE = native.INPUTS  # a layer's inputs and outputs come in multiples of it
WIDEST = 256  # features of a head, as far as it is tested
FORMATS = (torch.float16, torch.float32)  # of a table of embeddings; by the library's numbers
POOLINGS: tuple[Pooling, ...] = ("mean_max", "mean", "last")  # likewise


class Block(Protocol):
    """A layer of attention and its feed-forward, as both Transformers name its parts."""

    attention_norm: nn.LayerNorm
    query_key_value: Linear
    attention_output: Linear
    feed_forward_norm: nn.LayerNorm
    expand: Linear
    contract: Linear


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What an encoder is made of.

    Attributes:
        blocks: from first to last.
        heads: of a block.
        norms_first: whether a norm comes before what it norms for, or after the sum with that.
        rotates: whether queries and keys are turned for their positions.
        positions: added to embeddings, if any are.
        project: before all blocks, if anything is.
        first_norm: after that, likewise.
        last_norm: after all blocks, likewise.
    """

    blocks: Sequence[Block]
    heads: int
    norms_first: bool
    rotates: bool
    positions: nn.Embedding | None = None
    project: Linear | None = None
    first_norm: nn.LayerNorm | None = None
    last_norm: nn.LayerNorm | None = None

    @property
    def linears(self) -> list[Linear]:
        """Whose weights are read."""
        found = [
            linear
            for block in self.blocks
            for linear in (
                block.query_key_value,
                block.attention_output,
                block.expand,
                block.contract,
            )
        ]
        return found if self.project is None else [self.project, *found]

    @property
    def width(self) -> int:
        """D."""
        return self.blocks[0].contract.out_features


def can_run(parts: Parts) -> bool:
    """Whether the library can run it here, in the dtype of its weights."""
    sizes = [size for one in parts.linears for size in (one.in_features, one.out_features)]
    head_size = parts.width // parts.heads
    return (
        all(one.weight.dtype == torch.bfloat16 for one in parts.linears)
        and all(one.weight.device.type == "cpu" for one in parts.linears)
        and native.way() is native.Way.TILES
        and not any(size % SIDE for size in (*sizes, head_size))
        and head_size <= WIDEST
    )


class Stack:
    """An encoder's parts, laid out for the library: from then on they can be run by it alone.

    Args:
        parts: which ``can_run``. Their weights are spent.
    """

    def __init__(self, parts: Parts) -> None:
        assert can_run(parts), "nobody else may ask"
        assert parts.project or parts.first_norm, "embeddings are made into states by one of them"
        assert len({block.expand.out_features for block in parts.blocks}) == 1, "memory is for one"
        self.head_size = parts.width // parts.heads
        self.rotates = parts.rotates
        self.longest = None if parts.positions is None else parts.positions.num_embeddings
        self._rotation = torch.empty(2, 0, self.head_size // 2)
        self.width = parts.width
        self.input_size = parts.linears[0].in_features
        self._held: list[Tensor] = []  # what the structures point at
        self._blocks = (native.Block * len(parts.blocks))(*map(self._block, parts.blocks))
        self._encoder = native.Encoder(
            blocks=self._blocks,
            positions=None if parts.positions is None else self._pointer(parts.positions.weight),
            project=self._weights(parts.project),
            first_norm=self._norm(parts.first_norm),
            last_norm=self._norm(parts.last_norm),
            count=len(parts.blocks),
            norms_first=parts.norms_first,
            width=parts.width,
            heads=parts.heads,
        )
        for linear in parts.linears:
            linear.weight = spent(linear.weight)

    def __call__(self, embeddings: Tensor, line: Line) -> Tensor:
        """Their states, (N, E) -> (N, D), both bfloat16.

        Args:
            embeddings: of texts as they lie in ``line``, and of their positions.
            line: of the batch.
        """
        embeddings = embeddings.contiguous()
        assert embeddings.shape == (line.count, self.input_size), "a row for each token"
        assert embeddings.dtype == torch.bfloat16, "as the weights were"
        return self._run(line, native.Batch(embeddings=embeddings.data_ptr()))

    def summarize(self, ids: Tensor, table: Tensor, pooling: Pooling, line: Line) -> Tensor:
        """Their states, pooled: (N,) -> (B, P) in bfloat16.

        Args:
            ids: int64, of texts as they lie in ``line``; all of them in the table.
            table: (V, E), of one of ``FORMATS``.
            pooling: how.
            line: of the batch.
        """
        ids, table = ids.contiguous(), table.contiguous()
        assert self.longest is None or line.longest <= self.longest, "as positions go"
        assert ids.shape == (line.count,), "one for each token"
        assert ids.dtype == torch.int64, "as the library reads them"
        assert table.shape[1] == self.input_size, "as the weights read it"
        pooled = torch.empty(line.batch[0], pooled_size(pooling, self.width), dtype=torch.bfloat16)
        batch = native.Batch(
            ids=ids.data_ptr(),
            table=table.data_ptr(),
            pooled=pooled.data_ptr(),
            format=FORMATS.index(table.dtype),
            pooling=POOLINGS.index(pooling),
        )
        self._run(line, batch)
        return pooled

    def _run(self, line: Line, batch: native.Batch) -> Tensor:
        """All states of a batch that says what to read, and what to make of them."""
        states = torch.empty(line.count, self.width, dtype=torch.bfloat16)
        rotation = self._turned(line.longest)
        if rotation is not None:
            batch.rotation, batch.turned = rotation.data_ptr(), rotation.shape[1]
        batch.starts = line.starts.data_ptr()
        batch.states = states.data_ptr()
        batch.texts = line.batch[0]
        batch.longest = line.longest
        batch.threads = torch.get_num_threads()
        library, encoder = native.loaded(), ctypes.byref(self._encoder)
        size = library.lockstep_scratch_bytes(encoder, ctypes.byref(batch))
        scratch = torch.empty(size, dtype=torch.uint8)
        assert scratch.data_ptr() % ALIGNED == 0, "as torch's memory is"
        batch.scratch = scratch.data_ptr()
        library.lockstep_encode(encoder, ctypes.byref(batch))
        return states

    def _turned(self, longest: int) -> Tensor | None:
        """Cosines and sines of so many positions, or more: kept from call to call."""
        if not self.rotates:
            return None
        kept = self._rotation  # another thread may put a shorter one in its place
        if longest > kept.shape[1]:
            kept = self._rotation = waves(angles(longest, self.head_size, kept.device))
        return kept

    def _block(self, block: Block) -> native.Block:
        return native.Block(
            query_key_value=self._weights(block.query_key_value),
            attention_output=self._weights(block.attention_output),
            expand=self._weights(block.expand),
            contract=self._weights(block.contract),
            attention_norm=self._norm(block.attention_norm),
            feed_forward_norm=self._norm(block.feed_forward_norm),
        )

    def _weights(self, linear: Linear | None) -> native.Weights:
        if linear is None:
            return native.Weights()
        return native.Weights(
            tiles=self._pointer(lay_out(linear.weight)),
            bias=self._pointer(linear.bias.float()),
            inputs=linear.in_features,
            outputs=linear.out_features,
        )

    def _norm(self, norm: nn.LayerNorm | None) -> native.Norm:
        if norm is None:
            return native.Norm()
        return native.Norm(
            weight=self._pointer(norm.weight.float()),
            bias=self._pointer(norm.bias.float()),
            epsilon=norm.eps,
        )

    def _pointer(self, tensor: Tensor) -> int:
        held = tensor.detach().contiguous()
        self._held.append(held)
        return held.data_ptr()


def lay_out(weight: Tensor) -> Tensor:
    """Tiles of 16 pairs of inputs by 16 outputs, two of them side by side.

    (out, in) -> (out / 32, in / 32, 2, 16, 16, 2).
    """
    outputs, inputs = weight.shape
    sides = weight.view(outputs // SIDE, 2, native.LANES, inputs // SIDE, native.LANES, 2)
    return sides.permute(0, 3, 1, 4, 2, 5).contiguous()

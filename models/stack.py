"""A Transformer's encoder in one native call, on a CPU that multiplies bfloat16.

By torch's calls half of a forward was products, and on matrix tiles (AMX) those ran at a third of
what these can do: each call reads rows that have left the cache, writes rows that will, and starts
over with what its shape needs. Between them stood norms, sums, copies for attention, and Python.
``csrc/encoder.c`` takes some texts at a time through all layers.
"""

from __future__ import annotations

import ctypes
from array import array
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from models import native
from models.line import starts
from models.packed import Linear, spent
from models.rotation import angles, waves
from models.shared_weights import Hold, own
from models.tiled import ALIGNED, SIDE, lay_out

WIDEST = 256  # features of a head, as far as it is tested


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
        and native.encodes()
        and not any(size % SIDE for size in (*sizes, head_size))
        and head_size <= WIDEST
    )


class Stack:
    """An encoder's parts, laid out for the library: from then on they can be run by it alone.

    Args:
        parts: which ``can_run``. Their weights are spent.
        hold: where what is laid out of them lies.
    """

    def __init__(self, parts: Parts, hold: Hold = own) -> None:
        assert can_run(parts), "nobody else may ask"
        assert parts.project or parts.first_norm, "embeddings are made into states by one of them"
        assert len({block.expand.out_features for block in parts.blocks}) == 1, "memory is for one"
        self.head_size = parts.width // parts.heads
        self.rotates = parts.rotates
        self._rotation = torch.empty(2, 0, self.head_size // 2)
        self.longest = None if parts.positions is None else parts.positions.num_embeddings
        self.width = parts.width
        self.input_size = parts.linears[0].in_features
        self._hold = hold
        self._held: list[Tensor] = []  # what the structures point at
        self._spare: list[Tensor] = []  # memory of calls that are over
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
            way=native.way(),
        )
        for linear in parts.linears:
            linear.weight = spent(linear.weight)

    def __call__(self, embeddings: Tensor, lengths: Sequence[int]) -> Tensor:
        """Their states, (N, E) -> (N, D), both bfloat16.

        Args:
            embeddings: of texts one after another, and of their positions.
            lengths: of the texts.
        """
        embeddings = embeddings.contiguous()
        assert embeddings.shape == (sum(lengths), self.input_size), "a row for each token"
        assert embeddings.dtype == torch.bfloat16, "as the weights were"
        assert min(lengths) > 0, "a text has tokens"
        assert self.longest is None or max(lengths) <= self.longest, "as positions go"
        states = torch.empty(len(embeddings), self.width, dtype=torch.bfloat16)
        batch = native.Batch(embeddings=embeddings.data_ptr(), states=states.data_ptr())
        self.run(batch, starts(lengths), max(lengths))
        return states

    def run(self, batch: native.Batch, starts: array[int], longest: int) -> bool:
        """See ``Layers.run``; a batch may have embeddings, and want states, too."""
        rotation = self._turned(longest)
        if rotation is not None:
            batch.rotation, batch.turned = rotation.data_ptr(), rotation.shape[1]
        batch.starts, batch.texts = native.address(starts), len(starts) - 1
        batch.tokens, batch.longest = starts[-1], longest
        batch.threads = torch.get_num_threads()
        library, encoder = native.loaded(), ctypes.byref(self._encoder)
        size = library.lockstep_scratch_bytes(encoder, ctypes.byref(batch))
        scratch = self._memory(size)
        assert scratch.data_ptr() % ALIGNED == 0, "as torch's memory is"
        batch.scratch = scratch.data_ptr()
        done = bool(library.lockstep_encode(encoder, ctypes.byref(batch)))
        self._spare.append(scratch)
        return done

    def _memory(self, size: int) -> Tensor:
        """That of a call that is over, which no other has then, or new."""
        with suppress(IndexError):
            if len(spare := self._spare.pop()) >= size:
                return spare
        return torch.empty(size, dtype=torch.uint8)

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
        held = self._hold(tensor)
        self._held.append(held)
        assert held.data_ptr() % ALIGNED == 0, "as torch's memory is, and a page"
        return held.data_ptr()

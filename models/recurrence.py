"""``nn.RNN``, ``nn.GRU`` and ``nn.LSTM`` that stay fast: on a GPU in any dtype, on a CPU packed.

cuDNN reads all weights of a recurrence from one chunk of memory, in an order of its own. torch lays
them out so whenever a module is moved or cast, but not in bfloat16, which cuDNN has read only since
9.13 (torch's Python half still lists the older dtypes): torch then warns and copies every weight
anew in each call.

On a CPU that multiplies bfloat16, ``pack`` makes each a product of all tokens' W x and one native
call for the steps (``steps.py``). Elsewhere torch gives oneDNN an LSTM's weights as they lie, to be
laid out anew in every call: for a short text half of its time. Of ``nn.GRU`` and ``nn.RNN`` it
makes a product and several small operations a step, and in bfloat16 takes five times as long for
eight rows as for one. What ``pack`` makes of each there is in its class.
"""

from __future__ import annotations

import contextlib
from abc import abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from models import native
from models.packed import Packable, product, reorder, spent, sum_with_product
from models.ragged import Ragged
from models.rows import fill
from models.steps import Cell, Weights, can_run, lay_out, run_layer
from models.tiled import Tiled

BFLOAT16_CUDNN = 91300  # the first cuDNN whose recurrences take bfloat16
LSTM_MODE = 2  # torch's number of it; oneDNN's recurrences of other modes torch can't call
SMALLEST_HALF = 2.0**-24  # a float16 holds no number nearer to 0

Driver = Callable[[Tensor], Tensor]  # (N, E) -> (N, gates · D or a little more), W x + b


class Recurrence(nn.RNNBase, Packable):
    """In one chunk on a GPU; one direction, its layers one after another."""

    cell: ClassVar[Cell]
    _packed: list[Any] | None = None  # of each layer, for torch's calls
    _native: list[tuple[Driver, Weights]] | None = None  # W and the bias, and U, for our own

    def flatten_parameters(self) -> None:
        """Lays the weights out as cuDNN reads them. Does nothing on a CPU."""
        weight = next(self.parameters(), None)
        if weight is None or weight.device.type != "cuda":
            return
        version = torch.backends.cudnn.version()  # type: ignore[no-untyped-call]
        if (version or 0) >= BFLOAT16_CUDNN:
            torch.backends.cudnn.CUDNN_TENSOR_DTYPES.add(torch.bfloat16)
        # A cuDNN that refuses leaves them where they are: slower, and as right.
        with contextlib.suppress(RuntimeError):
            super().flatten_parameters()

    @property
    def is_native(self) -> bool:
        """Whether its steps are one native call, which computes no padding."""
        return self._native is not None

    def pack(self) -> None:
        if can_run(self.hidden_size, self.all_weights[0][0].dtype):
            self._native = [native_layer(self.cell, *layer) for layer in self._layer_weights()]
            self._spend()
        else:
            self._pack()

    def read(self, steps: Tensor, attention_mask: Tensor) -> Tensor:
        """``states``, without the padding where that is faster. (B, T) True = a real token."""
        if self._native is None:
            return self.states(steps)
        ragged = Ragged.of(steps, attention_mask)
        return ragged.with_tokens(self.native(ragged.tokens, ragged.rows)).padded()

    def native(self, hidden_states: Tensor, rows: Tensor, *, backward: bool = False) -> Tensor:
        """The hidden state of the last layer after each token, (N, E) -> (N, D).

        Args:
            hidden_states: of tokens as ``Ragged`` has them.
            rows: (T,) int32, how many texts have a token at each step.
            backward: every layer reads from a text's last token to its first.
        """
        assert self._native is not None, "it hasn't been packed so"
        for drive, U in self._native:
            driven = drive(hidden_states)  # (N, gates · D), or a little more
            hidden_states = run_layer(driven, rows, U, backward=backward)
        return hidden_states

    def states(self, steps: Tensor) -> Tensor:
        """The hidden state of the last layer after each step, (B, T, E) -> (B, T, D)."""
        assert not self.is_native, "its weights are laid out for `native`"
        if self._packed is None:
            hidden_states: Tensor = self(steps)[0]
            return hidden_states
        B, T, E = steps.shape
        rows = fill(steps.transpose(0, 1).flatten(1))  # a step is a row, later on a block
        hidden_states = rows.view(-1, B, E)  # (T, B, E), with steps after the last, read by none
        for layer in self._packed:
            hidden_states = self._layer(hidden_states, layer)  # (T, B, D)
        return hidden_states[:T].transpose(0, 1)

    @abstractmethod
    def _pack(self) -> None:
        """Lays the weights out for torch's calls."""

    @abstractmethod
    def _layer(self, steps: Tensor, packed: Any) -> Tensor:
        """The state after each step, (T, B, E) -> (T, B, D)."""

    def _layer_weights(self) -> list[list[Tensor]]:
        """W, U, b and b_h of each layer."""
        return [[weight.detach() for weight in layer] for layer in self.all_weights]

    def _spend(self) -> None:
        for name, weight in list(self.named_parameters()):
            setattr(self, name, spent(weight))


class RNN(Recurrence, nn.RNN):
    """``nn.RNN``. Packed, all steps' W x in one product, and a step is a call or two."""

    cell = Cell.RNN

    def _pack(self) -> None:
        self._packed = [(reorder(W), reorder(U), b + b_h) for W, U, b, b_h in self._layer_weights()]
        self._spend()

    def _layer(self, steps: Tensor, packed: Any) -> Tensor:
        W, U, bias = packed
        driven = product(steps, W, bias)  # (T, B, E) -> (T, B, D)
        B, D = driven.shape[1:]
        state = driven.new_zeros(B, D)
        states = []
        for step in driven.unbind(0):
            if B == 1:
                state = product(state, U, step[0], "tanh")
            else:
                state = sum_with_product(step, state, U).tanh_()
            states.append(state)
        return torch.stack(states)


class GRU(Recurrence, nn.GRU):
    """``nn.GRU``. Packed, there are two ways.

    In float32, and for one row in bfloat16: a loop of torch's own over weights in float16, with
    inputs, sums and states in float32. The shipped weights are float16, so nothing is lost, and
    half as much is read from memory in each step. For more rows in bfloat16: all steps' W x in one
    product, and a step is five calls.
    """

    cell = Cell.GRU
    _cells: list[Any] | None = None

    def _pack(self) -> None:
        weights = self._layer_weights()
        exact = all(in_half(weight) for layer in weights for weight in layer[:2])
        bfloat16 = self.weight_ih_l0.dtype == torch.bfloat16
        if not exact and not bfloat16:
            return  # trained further since: float16 would change the answer
        self._cells = [half_cell(*layer) for layer in weights] if exact else None
        self._packed = [gru_layer(*layer) for layer in weights] if bfloat16 else []
        self._spend()

    def states(self, steps: Tensor) -> Tensor:
        if self._packed is None or self._cells is None or (self._packed and len(steps) > 1):
            return super().states(steps)
        start = steps.new_zeros(self.num_layers, len(steps), self.hidden_size, dtype=torch.float32)
        hidden_states: Tensor = torch.quantized_gru(
            steps.float(), start, self._cells, True, self.num_layers, 0.0, False, False, True
        )[0]
        return hidden_states.to(steps.dtype)

    def _layer(self, steps: Tensor, packed: Any) -> Tensor:
        W, U, bias, candidate_bias = packed
        driven = product(steps, W, bias)  # (T, B, E) -> (T, B, 3·D)
        T, B, _ = driven.shape
        D = self.hidden_size
        candidates = driven[..., 2 * D :].clone()  # what r doesn't touch
        driven[..., 2 * D :] = candidate_bias
        states = driven.new_empty(T, B, D)
        state = driven.new_zeros(B, D)
        rows = (tensor.unbind(0) for tensor in (driven, candidates, states))
        for step, candidate, after in zip(*rows, strict=True):
            both = sum_with_product(step, state, U)  # (B, 3·D)
            gate = both[:, : 2 * D].sigmoid_()  # r, then z
            candidate = torch.addcmul(candidate, gate[:, :D], both[:, 2 * D :]).tanh_()
            state = torch.lerp(candidate, state, gate[:, D:], out=after)
        return states


class LSTM(Recurrence, nn.LSTM):
    """``nn.LSTM``. Packed, the same oneDNN call with weights that needn't be laid out anew."""

    cell = Cell.LSTM

    def _pack(self) -> None:
        layout = torch.ops.mkldnn._reorder_mkldnn_rnn_layer_weight
        self._packed = [
            (*layout(W, U, self.hidden_size, False, True, True, None), b, b_h)
            for W, U, b, b_h in self._layer_weights()
        ]
        self._spend()

    def _layer(self, steps: Tensor, packed: Any) -> Tensor:
        start = steps.new_zeros(1, steps.shape[1], self.hidden_size)
        hidden_states: Tensor = torch.ops.aten.mkldnn_rnn_layer(
            steps, *packed, start, start, False, [], LSTM_MODE, self.hidden_size, 1,
            True, False, False, False,
        )[0]  # fmt: skip
        return hidden_states


def native_layer(
    cell: Cell, W: Tensor, U: Tensor, b: Tensor, b_h: Tensor
) -> tuple[Driver, Weights]:
    """A layer's weights for ``run_layer``: what makes W x + b, and U laid out."""
    if cell is Cell.GRU:
        bias, candidate_bias = gru_biases(b, b_h)
        return driver(W, bias), lay_out(cell, U, candidate_bias)
    return driver(W, (b.float() + b_h).to(b.dtype)), lay_out(cell, U)


def driver(W: Tensor, bias: Tensor) -> Driver:
    """W x + b of all tokens: a native call where there is one."""
    if native.encodes():
        return Tiled(W, bias)
    packed = reorder(W)
    return lambda tokens: product(tokens, packed, bias)


def gru_layer(
    W: Tensor, U: Tensor, b: Tensor, b_h: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """A GRU layer's weights packed, and its ``gru_biases``."""
    return reorder(W), reorder(U), *gru_biases(b, b_h)


def gru_biases(b: Tensor, b_h: Tensor) -> tuple[Tensor, Tensor]:
    """b with what of b_h isn't multiplied by r, and what is."""
    gates = len(b) // 3 * 2
    bias = b.clone()
    bias[:gates] += b_h[:gates]
    return bias, b_h[gates:].clone()


def half_cell(W: Tensor, U: Tensor, b: Tensor, b_h: Tensor) -> Any:
    """A GRU layer's weights for ``torch.quantized_gru``: in float16, the biases in float32."""
    prepack = torch.ops.quantized.linear_prepack_fp16
    halves = prepack(W.float(), b.float()), prepack(U.float(), b_h.float())
    return torch.ops.quantized.make_quantized_cell_params_fp16(*halves)


def in_half(weight: Tensor) -> bool:
    """Whether float16 holds every number of ``weight``; less than its smallest aside."""
    values = weight.float()
    return bool((values.half().float() - values).abs().max() <= SMALLEST_HALF)

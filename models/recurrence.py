"""``nn.RNN``, ``nn.GRU`` and ``nn.LSTM`` that stay fast: on a GPU in any dtype, on a CPU packed.

cuDNN reads all weights of a recurrence from one chunk of memory, in an order of its own. torch lays
them out so whenever a module is moved or cast, but not in bfloat16, which cuDNN has read only since
9.13 (torch's Python half still lists the older dtypes): torch then warns and copies every weight
anew in each call.

On a CPU torch gives oneDNN an LSTM's weights as they lie, to be laid out anew in every call: for a
short text half of its time. Of ``nn.GRU`` and ``nn.RNN`` it makes a product and several small
operations a step, and in bfloat16 takes five times as long for eight rows as for one. What ``pack``
makes of each is in its class.
"""

from __future__ import annotations

import contextlib
from typing import Any

import torch
from torch import Tensor, nn

from models.packed import Packable, product, reorder, spent, sum_with_product
from models.rows import fill

BFLOAT16_CUDNN = 91300  # the first cuDNN whose recurrences take bfloat16
LSTM_MODE = 2  # torch's number of it; oneDNN's recurrences of other modes torch can't call
SMALLEST_HALF = 2.0**-24  # a float16 holds no number nearer to 0


class _Recurrence(nn.RNNBase, Packable):
    """In one chunk on a GPU; one direction, its layers one after another."""

    _packed: list[Any] | None = None  # of each layer

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

    def states(self, steps: Tensor) -> Tensor:
        """The hidden state of the last layer after each step, (B, T, E) -> (B, T, D)."""
        if self._packed is None:
            hidden_states: Tensor = self(steps)[0]
            return hidden_states
        B, T, E = steps.shape
        rows = fill(steps.transpose(0, 1).flatten(1))  # a step is a row, later on a block
        hidden_states = rows.view(-1, B, E)  # (T, B, E), with steps after the last, read by none
        for layer in self._packed:
            hidden_states = self._layer(hidden_states, layer)  # (T, B, D)
        return hidden_states[:T].transpose(0, 1)

    def _layer(self, steps: Tensor, packed: Any) -> Tensor:
        raise NotImplementedError

    def _layer_weights(self) -> list[list[Tensor]]:
        """W, U, b and b_h of each layer."""
        return [[weight.detach() for weight in layer] for layer in self.all_weights]

    def _spend(self) -> None:
        for name, weight in list(self.named_parameters()):
            setattr(self, name, spent(weight))


class RNN(_Recurrence, nn.RNN):
    """``nn.RNN``. Packed, all steps' W x in one product, and a step is a call or two."""

    def pack(self) -> None:
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


class GRU(_Recurrence, nn.GRU):
    """``nn.GRU``. Packed, there are two ways.

    In float32, and for one row in bfloat16: a loop of torch's own over weights in float16, with
    inputs, sums and states in float32. The shipped weights are float16, so nothing is lost, and
    half as much is read from memory in each step. For more rows in bfloat16: all steps' W x in one
    product, and a step is five calls.
    """

    def pack(self) -> None:
        weights = self._layer_weights()
        exact = all(in_half(weight) for layer in weights for weight in layer[:2])
        bfloat16 = self.weight_ih_l0.dtype == torch.bfloat16
        if not exact and not bfloat16:
            return  # trained further since: float16 would change the answer
        self._cells = [cell(*layer) for layer in weights] if exact else None
        self._packed = [gates(*layer) for layer in weights] if bfloat16 else []
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


class LSTM(_Recurrence, nn.LSTM):
    """``nn.LSTM``. Packed, the same oneDNN call with weights that needn't be laid out anew."""

    def pack(self) -> None:
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


def gates(W: Tensor, U: Tensor, b: Tensor, b_h: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """A GRU layer's weights packed, b with what of b_h isn't multiplied by r, and what is."""
    D = U.shape[1]
    bias = b.clone()
    bias[: 2 * D] += b_h[: 2 * D]
    return reorder(W), reorder(U), bias, b_h[2 * D :].clone()


def cell(W: Tensor, U: Tensor, b: Tensor, b_h: Tensor) -> Any:
    """A GRU layer's weights for ``torch.quantized_gru``: in float16, the biases in float32."""
    prepack = torch.ops.quantized.linear_prepack_fp16
    halves = prepack(W.float(), b.float()), prepack(U.float(), b_h.float())
    return torch.ops.quantized.make_quantized_cell_params_fp16(*halves)


def in_half(weight: Tensor) -> bool:
    """Whether float16 holds every number of ``weight``; less than its smallest aside."""
    values = weight.float()
    return bool((values.half().float() - values).abs().max() <= SMALLEST_HALF)

"""Long short-term memory in both directions: each word is read with both its sides known.

Graves and Schmidhuber 2005, "Framewise phoneme classification with bidirectional LSTM" (Neural
Networks 18), over the formulas of ``lstm.py``. In each layer:

    h_t = [ LSTM(x_1, ..., x_t) ; LSTM'(x_n, ..., x_t) ],  n = the row's last real token

Native steps (``steps.py``) know where each text ends. ``nn.LSTM(bidirectional=True)`` starts LSTM'
at the padding unless the batch is packed, and packing rows of several lengths loses oneDNN's fused
call. So there LSTM' is a second ``nn.LSTM`` over each row's real tokens in reverse, with the
padding still on the right, where it is never read back.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from models.base import ClassifierConfig, Schedule
from models.ragged import Ragged
from models.recurrence import LSTM
from models.recurrent import RecurrentEncoder


@dataclass(frozen=True, kw_only=True, slots=True)
class BiLSTMConfig(ClassifierConfig):
    """Sizes of the encoder.

    Attributes:
        hidden_size: D / 2, width of the state of each direction of each layer.
        num_layers: layers, each over both directions of the one below.
    """

    hidden_size: int = 240  # 2.59 million parameters in two layers
    num_layers: int = 2


class BiLSTMEncoder(RecurrentEncoder):
    """(B, T, E) -> (B, T, D): half of D has read the words before, half those after."""

    exact_up_to: int = sys.maxsize  # a batch without padding is turned round faster

    def __init__(self, config: BiLSTMConfig) -> None:
        super().__init__()
        self.config = config
        self.output_size = 2 * config.hidden_size
        inputs = [config.input_size] + [self.output_size] * (config.num_layers - 1)
        self.rightward = directions(inputs, config.hidden_size)
        self.leftward = directions(inputs, config.hidden_size)

    @property
    def _layers(self) -> list[tuple[Any, Any]]:
        """Both directions of each."""
        return list(zip(self.rightward, self.leftward, strict=True))

    def native(self, embeddings: Tensor, rows: Tensor) -> Tensor:
        hidden_states = embeddings  # (N, E), then (N, D)
        for rightward, leftward in self._layers:
            seen = rightward.native(hidden_states, rows)  # (N, D / 2)
            to_come = leftward.native(hidden_states, rows, backward=True)  # (N, D / 2)
            hidden_states = torch.cat((seen, to_come), dim=-1)
        return hidden_states

    def forward(
        self, embeddings: Tensor, attention_mask: Tensor, schedule: Schedule | None = None
    ) -> Tensor:
        if not self.pads:
            ragged = Ragged.of(embeddings, attention_mask)
            return ragged.with_tokens(self.native(ragged.tokens, ragged.rows)).padded()
        order = reversed_order(attention_mask)
        hidden_states = embeddings  # (B, T, E), then (B, T, D)
        for rightward, leftward in self._layers:
            seen = rightward.states(hidden_states)  # (B, T, D / 2)
            to_come = leftward.states(reverse(hidden_states, order))  # (B, T, D / 2)
            to_come = reverse(to_come, order)
            hidden_states = torch.cat((seen, to_come), dim=-1)  # (B, T, D)
        return hidden_states

    def flops(self, length: int) -> int:
        size, layers = self.config.hidden_size, self.config.num_layers
        inputs = self.config.input_size + (layers - 1) * self.output_size
        return length * 2 * 2 * 4 * size * (inputs + layers * size)

    def sequential_depth(self, length: int, schedule: Schedule | None = None) -> int:
        # Neither direction of a layer waits for the other; the next layer waits for both.
        return length * self.config.num_layers


def directions(inputs: list[int], hidden_size: int) -> nn.ModuleList:
    """One direction of every layer."""
    return nn.ModuleList(LSTM(width, hidden_size, batch_first=True) for width in inputs)


def reversed_order(attention_mask: Tensor) -> Tensor | None:
    """(B, T) positions: the real tokens last to first, then the padding; None if there is none.

    On a GPU nobody looks whether there is: it would wait for the forward's start.
    """
    if attention_mask.device.type == "cpu" and bool(attention_mask.all()):
        return None
    positions = torch.arange(attention_mask.shape[1], device=attention_mask.device)
    mirrored = attention_mask.sum(dim=1, keepdim=True) - 1 - positions  # negative at padding
    return torch.where(attention_mask, mirrored, positions)


def reverse(hidden_states: Tensor, order: Tensor | None) -> Tensor:
    """(B, T, D) with each row's real tokens in reverse. Its own inverse."""
    if order is None:
        return hidden_states.flip(1)
    rows = torch.arange(order.shape[0], device=order.device).unsqueeze(1)  # (B, 1)
    return hidden_states[rows, order]  # a gather along T, in half its time on a CPU

"""After how many steps a state has read another word, against what its gradient reaches.

A recurrence is held to a number of steps by being cut: a layer hands its state on no more often
than it is allowed to. Every way to share the steps out among the layers is tried.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from models import mamba, mingru
from models.base import Encoder, Schedule
from models.recurrence import GRU, LSTM, RNN
from models.registry import ARCHITECTURES

LENGTH = 47  # tokens; the one in the middle has 23 to each side
MIDDLE = LENGTH // 2
MOST_STEPS = 5  # of a recurrence: from then on each takes one more word
NARROW = {
    "input_size": 8,
    "hidden_size": 8,
    "d_model": 8,
    "d_ff": 8,
    "num_heads": 2,
    "word_size": 4,
    "d_state": 2,
    "dt_rank": 2,
}


def narrow(architecture: str, num_layers: int | None = None) -> Encoder:
    """As deep as the shipped one unless told."""
    kind = ARCHITECTURES[architecture]
    config = kind.config()
    sizes: dict[str, Any] = {name: size for name, size in NARROW.items() if hasattr(config, name)}
    if num_layers is not None:
        sizes["num_layers"] = num_layers
    torch.manual_seed(0)
    return kind.encoder(replace(config, **sizes)).eval()


def furthest(encoder: Encoder) -> int:
    """Words away that the state in the middle takes anything from."""
    embeddings = torch.randn(1, LENGTH, NARROW["input_size"], requires_grad=True)
    state = encoder(embeddings, torch.ones(1, LENGTH, dtype=torch.bool))[0, MIDDLE]
    (gradient,) = torch.autograd.grad((state * torch.randn_like(state)).sum(), embeddings)
    read = gradient[0].abs().sum(-1).nonzero().flatten() - MIDDLE
    return int(read.abs().max())


class Cut:
    """While it is there, a layer hands its state on as often as the next number says."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.allowed: Iterator[int] = iter(())
        for recurrence in (RNN, GRU, LSTM):
            patch.setattr(recurrence, "states", self.states)
        for module in (mingru, mamba):
            patch.setattr(module, "scan", self.scan)

    @property
    def states(self) -> Any:
        def states(recurrence: Any, words: Tensor) -> Tensor:
            for weights in recurrence.all_weights:
                size = words.shape[-1]
                layer = type(recurrence)(size, recurrence.hidden_size, batch_first=True)
                for own, weight in zip(layer.all_weights[0], weights, strict=True):
                    own.data = weight.data
                often = next(self.allowed)
                padded = F.pad(words, (0, 0, often, 0))
                parts = padded[0].unfold(0, often + 1, 1).mT  # (T, often + 1, size)
                words = layer(parts)[0][:, -1].unsqueeze(0)  # (1, T, hidden_size)
            return words

        return states

    def scan(self, kept: Tensor, added: Tensor, schedule: Schedule) -> Tensor:
        states = added
        for _ in range(next(self.allowed)):
            before = torch.cat((torch.zeros_like(states[:, :1]), states[:, :-1]), dim=1)
            states = kept * before + added
        return states


def shared_out(number: int, layers: int) -> Iterator[tuple[int, ...]]:
    """Every way in which ``number`` is a sum of that many numbers, 0 among them."""
    every = itertools.product(range(number + 1), repeat=layers)
    return (shares for shares in every if sum(shares) == number)


def read_after(architecture: str, steps: int, cut: Cut) -> int:
    """Words away that the state of a layer can have read by so many steps."""
    whole = narrow(architecture)
    depth = whole.sequential_depth(1)
    if not whole.stride:
        return furthest(narrow(architecture, min(steps, depth)))
    found = 0
    directions = 2 if architecture == "bilstm" else 1  # which take their steps side by side
    for layers in range(1, min(steps, depth) + 1):
        encoder = narrow(architecture, layers)
        for shares in shared_out(steps - layers, layers):  # each layer's first step is its word's
            cut.allowed = iter([share for share in shares for _ in range(directions)])
            found = max(found, furthest(encoder))
    return found


@pytest.mark.parametrize("architecture", sorted(ARCHITECTURES))
def test_path_is_the_fewest_steps_that_carry_a_gradient(
    architecture: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder, cut = narrow(architecture), Cut(monkeypatch)
    most = MOST_STEPS if encoder.stride else encoder.sequential_depth(1)
    read = [read_after(architecture, steps, cut) for steps in range(1, most + 1)]
    for distance in range(MIDDLE + 1):
        carried = next((n for n, words in enumerate(read, start=1) if words >= distance), None)
        path = encoder.path(distance)
        if carried is None and encoder.stride:
            assert path is not None
            assert path > most
        else:
            assert path == carried, distance


@pytest.mark.parametrize("architecture", sorted(ARCHITECTURES))
@pytest.mark.parametrize("length", [1, 2, 9, 22])
def test_longest_path_is_that_between_the_ends(architecture: str, length: int) -> None:
    encoder = narrow(architecture)
    assert encoder.longest_path(length) == encoder.path(length - 1)


def test_words_further_apart_than_a_stack_reads_never_meet_in_a_state() -> None:
    assert [narrow("cnn").path(distance) for distance in (21, 22, 500)] == [9, None, None]

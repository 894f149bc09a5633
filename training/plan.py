"""What a run will do, settled before it starts: its batches in order, its rates, its targets."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from training.examples import Example, batches, repeat
from training.recipes import Recipe


@dataclass(frozen=True, slots=True)
class TrainingSet:
    """Examples of one source.

    Attributes:
        examples: N of them.
        targets: (N, C) teacher's logits, or None to learn the labels.
        hints: (N, P) a teacher's pooled vectors, or None to learn none.
        weight: how often each is seen a pass.
    """

    examples: list[Example]
    targets: Tensor | None
    weight: float = 1.0
    hints: Tensor | None = None


def plan(train: Sequence[TrainingSet], recipe: Recipe) -> list[list[int]]:
    """Every batch of the run, in order: positions in the concatenation of the sources."""
    generator = random.Random(recipe.seed)  # noqa: S311 - has to be repeatable, not secret
    lengths = [len(example.ids) for source in train for example in source.examples]
    planned: list[list[int]] = []
    for _ in range(recipe.passes):
        order: list[int] = []
        offset = 0
        for source in train:
            drawn = repeat(len(source.examples), source.weight, generator)
            order.extend(offset + position for position in drawn)
            offset += len(source.examples)
        planned.extend(batches(lengths, order, recipe.batch_tokens, recipe.batch_rows, generator))
    return planned


def one_cycle(progress: float, warmup: float) -> float:
    """The learning rate as a share of its highest: up in a line, then down along a cosine."""
    if progress < warmup:
        return max(progress / warmup, 1e-3)
    return 0.5 * (1 + math.cos(math.pi * (progress - warmup) / (1 - warmup)))


def joined(answers: Sequence[Tensor | None]) -> Tensor | None:
    """What a teacher said of every source's examples, (N, …), or None where none was asked.

    Raises:
        ValueError: it was asked of some sources and not of others.
    """
    known = [answer for answer in answers if answer is not None]
    if known and len(known) != len(answers):
        raise ValueError("either every source has a teacher's answers or none has")
    return torch.cat(known) if known else None

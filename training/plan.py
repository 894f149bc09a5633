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
        weight: how often each is seen a pass.
    """

    examples: list[Example]
    targets: Tensor | None
    weight: float = 1.0


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


def all_targets(train: Sequence[TrainingSet]) -> Tensor | None:
    """The teacher's logits of every example, (N, C), or None where the labels are learnt.

    Raises:
        ValueError: some sources have a teacher's logits and some have none.
    """
    targets = [source.targets for source in train if source.targets is not None]
    if targets and len(targets) != len(train):
        raise ValueError("either every source has a teacher's logits or none has")
    return torch.cat(targets) if targets else None

"""What a run learns from and is judged by: sources read, split, tokenized and labelled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from models.tokenizer import Tokenizer
from training import data
from training.data import DataError, DataSet, Row
from training.examples import Example, augment, examples, excerpts, thin
from training.plan import TrainingSet
from training.recipes import Recipe
from training.teachers import Teachers

HELD_BACK_ROWS = 1500  # of each source: one standard error of accuracy is then 0.8 points


@dataclass(frozen=True, slots=True)
class Source:
    """A data set, split.

    Attributes:
        name: for the curve; no two of a run share one.
        weight: how often a pass sees its rows.
        rows: to learn from.
        held_back: to be judged by.
    """

    name: str
    weight: float
    rows: list[Row]
    held_back: list[Row]


def split(sets: Sequence[DataSet], sources: Sequence[tuple[str, float]]) -> list[Source]:
    """Each data set without its repeats, and the rows held back of it.

    Args:
        sets: as they were read.
        sources: what was typed for each, and its weight.

    Raises:
        DataError: a set is too small to hold rows back.
    """
    made: list[Source] = []
    for one, (typed, weight) in zip(sets, sources, strict=True):
        rows, held = data.hold_back(data.distinct(one.rows), HELD_BACK_ROWS)
        if not held:
            raise DataError(f"{typed} has too few rows: hold back needs 5 distinct texts")
        # Two files may have one name: each still needs a curve of its own.
        name = typed if any(source.name == one.name for source in made) else one.name
        made.append(Source(name, weight, rows, held))
    return made


@dataclass(frozen=True, slots=True)
class Reader:
    """How rows become examples.

    Attributes:
        tokenizer: the model's.
        labels: in the order of the logits.
        max_length: tokens that a text keeps.
    """

    tokenizer: Tokenizer
    labels: tuple[str, ...]
    max_length: int

    def read(self, rows: Sequence[Row]) -> list[Example]:
        """An example a row."""
        return examples(rows, self.tokenizer, self.labels, self.max_length)


def training_set(
    source: Source, reader: Reader, recipe: Recipe, teachers: Teachers, cache: Path
) -> TrainingSet:
    """The examples of one source; with teachers, what they say of these and of more.

    Args:
        source: whose rows to learn from.
        reader: of its texts.
        recipe: says how much more.
        teachers: none to learn the labels.
        cache: a folder for what the teachers said.
    """
    own = reader.read(source.rows)
    if not teachers.folders:
        return TrainingSet(own, None, source.weight)
    tokenizer, seed = reader.tokenizer, recipe.seed
    parts = [
        own,
        augment(own, recipe.augment, tokenizer, seed),
        excerpts(source.rows, recipe.excerpts, tokenizer, seed),
        thin(own, recipe.thinned, tokenizer, seed),
    ]
    # Asked part by part, so that a student that wants more copies finds what another asked for.
    answers = [teachers.logits(part, cache) for part in parts if part]
    hints = None
    if recipe.hints:
        hints = torch.cat([teachers.vectors(part, cache) for part in parts if part])
    every = [example for part in parts for example in part]
    return TrainingSet(every, torch.cat(answers), source.weight, hints)

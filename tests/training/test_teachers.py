"""Several teachers: read from where they are, and averaged."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from models.errors import CheckpointError
from tests.small import write_model, write_wordpiece
from training.data import DataError
from training.examples import Example
from training.teachers import Teachers

EXAMPLES = [Example([2, word, word + 1, 3], 0) for word in range(5, 25)]
LABELS = ("negative", "positive")


def test_what_teachers_say_together_is_their_mean(weights: Path, tmp_path: Path) -> None:
    for seed, name in enumerate(("one", "two")):
        write_model(weights, name, seed=seed)

    def said(*names: str) -> torch.Tensor:
        teachers = Teachers.load(weights, names, LABELS, "float32")
        return teachers.logits(EXAMPLES, tmp_path / "cache")

    one, two = said("one"), said("two")
    assert not torch.allclose(one, two)
    assert torch.allclose(said("one", "two"), (one + two) / 2)


def test_a_teacher_may_be_a_folder_elsewhere(weights: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "work" / "teachers"
    write_wordpiece(elsewhere)
    write_model(elsewhere, "one")
    teachers = Teachers.load(weights, [str(elsewhere / "one")], LABELS, "float32")
    assert teachers.folders[0].path == elsewhere / "one"


def test_a_teacher_that_is_nowhere_is_refused(weights: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="absent holds no models"):
        Teachers.load(weights, [str(tmp_path / "absent" / "one")], LABELS, "float32")


def test_a_teacher_of_other_labels_is_refused(weights: Path) -> None:
    write_model(weights, "one", labels=("bad", "good"))
    with pytest.raises(DataError, match="the teacher's labels are"):
        Teachers.load(weights, ["one"], LABELS, "float32")

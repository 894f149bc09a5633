"""The teacher's logits: computed once, kept, and never mistaken for another's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from models.base import Classifier
from models.checkpoint import load_predictor
from models.folder import ModelFolder
from models.predict import Predictor
from tests.small import write_model
from training import distil
from training.distil import teacher_logits, teacher_vectors
from training.examples import Example

EXAMPLES = [Example([2, word, word + 1, 3], 0) for word in range(5, 25)]


@pytest.fixture
def teacher(weights: Path) -> tuple[ModelFolder, Predictor]:
    write_model(weights, "teacher")
    return load_predictor(weights, "teacher")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many windows the teacher was asked for, call by call."""
    calls: list[int] = []
    logits = Predictor.logits

    def counted(self: Predictor, windows: Sequence[Sequence[int]]) -> list[list[float]]:
        calls.append(len(windows))
        return logits(self, windows)

    monkeypatch.setattr(Predictor, "logits", counted)
    return calls


def test_teacher_is_asked_once(
    teacher: tuple[ModelFolder, Predictor], asked: list[int], tmp_path: Path
) -> None:
    folder, predictor = teacher
    first = teacher_logits(predictor, folder, EXAMPLES, tmp_path / "cache")
    second = teacher_logits(predictor, folder, EXAMPLES, tmp_path / "cache")
    assert asked == [20]
    assert torch.equal(first, second)
    expected = torch.tensor(predictor.logits([example.ids for example in EXAMPLES]))
    assert torch.equal(first, expected)


def test_labelling_is_taken_up_where_it_stopped(
    teacher: tuple[ModelFolder, Predictor],
    asked: list[int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(distil, "CHUNK", 8)
    folder, predictor = teacher
    teacher_logits(predictor, folder, EXAMPLES[:8], tmp_path / "cache")
    whole = teacher_logits(predictor, folder, EXAMPLES, tmp_path / "cache")
    assert asked == [8, 8, 4]
    assert whole.shape == (20, 2)
    assert not list(tmp_path.rglob("*.partial"))


def test_another_teacher_is_asked_anew(
    teacher: tuple[ModelFolder, Predictor], asked: list[int], tmp_path: Path
) -> None:
    folder, predictor = teacher
    other = replace(folder, sha256=folder.sha256 | {"weights": "0" * 64})
    teacher_logits(predictor, folder, EXAMPLES, tmp_path)
    teacher_logits(predictor, other, EXAMPLES, tmp_path)
    teacher_logits(predictor, folder, EXAMPLES[1:], tmp_path)
    assert asked == [20, 20, 19]


def test_vectors_are_what_the_head_reads_and_are_kept_apart_from_logits(
    teacher: tuple[ModelFolder, Predictor],
    asked: list[int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder, predictor = teacher
    logits = teacher_logits(predictor, folder, EXAMPLES, tmp_path)
    vectors = teacher_vectors(predictor, folder, EXAMPLES, tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(Classifier, "summarize", None)  # it isn't asked again
        again = teacher_vectors(predictor, folder, EXAMPLES, tmp_path)
    assert torch.equal(vectors, again)
    assert vectors.dtype == torch.float16
    told = predictor.classifier.head(vectors.float())
    assert torch.allclose(told, logits, atol=0.01)
    assert asked == [20]

"""Models to learn from: one, or several whose logits are averaged.

Several that differ in their seed alone err in different places; what they say together is nearer
the truth than what any one says (Hinton et al. 2015, arXiv 1503.02531, section 3, distil such an
ensemble into one model).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from models import checkpoint
from models.folder import WORDPIECE, ModelFolder, sha256
from models.predict import Predictor
from models.tokenizer import FILE_NAME
from training.data import DataError
from training.distil import teacher_logits, teacher_vectors
from training.examples import Example
from training.precision import choose_precision


@dataclass(frozen=True, slots=True)
class Teachers:
    """Models with the student's labels, ready to answer.

    Attributes:
        folders: what each was read from.
        predictors: one a folder.
    """

    folders: tuple[ModelFolder, ...]
    predictors: tuple[Predictor, ...]

    @classmethod
    def load(
        cls, weights: Path, names: Sequence[str], labels: Sequence[str], precision: str
    ) -> Teachers:
        """Reads models of ``weights``, or folders elsewhere, onto the device there is.

        Raises:
            CheckpointError: one can't be read.
            DataError: one has other labels, or reads other tokens than the student.
        """
        loaded = []
        tokenizer = weights / WORDPIECE / FILE_NAME
        for name in names:
            folder, predictor = checkpoint.load_predictor(*locate(weights, name), "auto")
            if folder.labels != tuple(labels):
                raise DataError(
                    f"the teacher's labels are {folder.labels}; the data's are {labels}"
                )
            if folder.sha256["tokenizer"] != sha256(tokenizer):
                raise DataError(f"the teacher {name} reads other tokens than {tokenizer} makes")
            predictor.classifier.cast(choose_precision(folder.architecture, precision))
            loaded.append((folder, predictor))
        return cls(tuple(folder for folder, _ in loaded), tuple(p for _, p in loaded))

    def logits(self, source: Sequence[Example], cache: Path) -> Tensor:
        """The mean of what they say of each example: (N, C) float32.

        Args:
            source: N examples.
            cache: a folder for what was computed before.
        """
        answers = [
            teacher_logits(predictor, folder, source, cache)
            for folder, predictor in zip(self.folders, self.predictors, strict=True)
        ]
        return torch.stack(answers).mean(dim=0)

    def vectors(self, source: Sequence[Example], cache: Path) -> Tensor:
        """What the first of them pools each example into: (N, P) float16. Args as ``logits``."""
        return teacher_vectors(self.predictors[0], self.folders[0], source, cache)


def locate(weights: Path, name: str) -> tuple[Path, str]:
    """The folder of models and the name in it: of ``weights``, unless ``name`` is a path."""
    path = Path(name)
    return (path.parent, path.name) if len(path.parts) > 1 else (weights, name)

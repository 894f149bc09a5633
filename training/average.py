"""Several trainings of one model to a single one, by the mean of their weights.

Wortsman et al. 2022 (arXiv 2203.05482), the uniform soup: trainings that start from one pretrained
encoder and differ in their seed or length end in one valley of the loss, so the mean of their
weights is a model too, about as good as the mean of their answers and as fast as one of them.
Trainings from different starts have no such valley, and their mean is noise.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from models import checkpoint
from models.folder import WORDPIECE, ModelFolder
from training import data
from training.data import DataError
from training.job import named
from training.material import split
from training.store import store
from training.teachers import locate


def average(
    weights: Path, names: Sequence[str], name: str, sources: Sequence[str], command: str
) -> ModelFolder:
    """Writes the model whose weights are the mean of others'.

    Args:
        weights: the folder of models, into which it is written.
        names: two models of ``weights`` or more, or folders elsewhere.
        name: of the new one.
        sources: the data they were trained on, whose rows held back fit the temperature.
        command: what was typed, for the card.

    Raises:
        CheckpointError: a model can't be read.
        DataError: the models differ in architecture, sizes or labels; a source can't be read.
    """
    if len(names) < 2:
        raise DataError("an average needs two models at least")
    loaded = [checkpoint.load_predictor(*locate(weights, one)) for one in names]
    folders = [folder for folder, _ in loaded]
    first, classifier = folders[0], loaded[0][1].classifier
    for folder in folders[1:]:
        if (folder.architecture, folder.config) != (first.architecture, first.config):
            raise DataError(f"{folder.path} differs from {first.path} in kind, sizes or labels")
    states = [predictor.classifier.state_dict() for _, predictor in loaded]
    classifier.load_state_dict(
        {key: torch.stack([state[key] for state in states]).mean(dim=0) for key in states[0]}
    )
    if not (weights / WORDPIECE).exists():  # a new folder: of the table that these read
        shutil.copytree(first.path.parent / WORDPIECE, weights / WORDPIECE)
    sets = [data.read(source) for source in sources]
    parts = split(sets, [(source, 1.0) for source in sources])
    tokenizer = loaded[0][1].tokenizer
    made: dict[str, Any] = {
        "command": command,
        "data": [{"source": source, "weight": 1.0} for source in sources],
        "method": "the mean of several trainings' weights (arXiv 2203.05482)",
        "averaged": [
            named(folder) | {"held_back_accuracy": _held_back(folder)} for folder in folders
        ],
        "masked_words": first.card.get("training", {}).get("masked_words"),
        "torch": torch.__version__,
    }
    return store(classifier, first.architecture, weights / name, tokenizer, parts, made)


def _held_back(folder: ModelFolder) -> float | None:
    accuracy: float | None = folder.card.get("training", {}).get("held_back_accuracy")
    return accuracy

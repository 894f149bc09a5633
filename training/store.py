"""A trained classifier to its folder: stored, read back, and calibrated as it will be served."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from models import checkpoint
from models import folder as folders
from models.base import Classifier
from models.cost import cost
from models.device import resolve_device
from models.folder import ModelFolder
from models.predict import Predictor
from models.tokenizer import Tokenizer
from models.windows import prepare
from training import data
from training.calibrate import fit_temperature
from training.data import Row


def store(
    classifier: Classifier,
    architecture: str,
    path: Path,
    tokenizer: Tokenizer,
    held_back: Sequence[Row],
    made: dict[str, Any],
) -> ModelFolder:
    """Writes a model's folder, its temperature fitted on rows held back.

    Args:
        classifier: trained.
        architecture: a key of the registry.
        path: the folder; its name is the model's.
        tokenizer: the classifier's.
        held_back: rows that took no part in training.
        made: how it came about, for the card.
    """
    folder = ModelFolder(
        name=path.name,
        path=path,
        architecture=architecture,
        config=classifier.config.to_dict(),
        temperature=1.0,
        sha256={},
        card={
            "licence": "Apache-2.0",
            "cost": cost(classifier).to_dict(),
            "training": made,
            "accuracy": {},
        },
    )
    saved = checkpoint.save(folder, classifier.float().eval())
    # From here on what is measured is what was stored: float16 weights, read back.
    stored = checkpoint.load(saved, classifier.embedding).to(resolve_device("auto"))
    logits, truth = logits_and_labels(stored, tokenizer, held_back)
    temperature = round(fit_temperature(logits, truth), 4)
    calibration = {
        "method": "temperature scaling (arXiv 1706.04599) on held-back training rows",
        "temperature": temperature,
        "rows": len(held_back),
    }
    final = replace(saved, temperature=temperature, card=saved.card | {"calibration": calibration})
    folders.write(final)
    return final


def logits_and_labels(
    classifier: Classifier, tokenizer: Tokenizer, rows: Sequence[Row]
) -> tuple[torch.Tensor, torch.Tensor]:
    """What a classifier says of each row, (N, C), and the position of the row's label, (N,)."""
    labels = classifier.config.labels
    prepared = prepare([row.text for row in rows], tokenizer, classifier.config.max_length)
    windows = [text.windows[0] for text in prepared]
    logits = torch.tensor(Predictor(tokenizer, classifier).logits(windows))
    return logits, torch.tensor([data.label_index(row.label, labels) for row in rows])

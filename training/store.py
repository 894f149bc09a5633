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
from models.errors import CheckpointError
from models.folder import ModelFolder
from models.predict import Predictor
from models.tokenizer import Tokenizer
from models.windows import prepare
from training import data
from training.calibrate import fit_temperature
from training.data import Row
from training.material import Source
from training.recipes import OTHER_SIZES


def store(
    classifier: Classifier,
    architecture: str,
    path: Path,
    tokenizer: Tokenizer,
    sources: Sequence[Source],
    made: dict[str, Any],
) -> ModelFolder:
    """Writes a model's folder, its temperature fitted on the rows held back, all together.

    Of a model that was there before under that name the card tells what ``told_before`` keeps.

    Args:
        classifier: trained.
        architecture: a key of the registry.
        path: the folder; its name is the model's.
        tokenizer: the classifier's.
        sources: whose rows held back took no part in training.
        made: how it came about, for the card; what it doesn't tell of its accuracy on the rows held
            back is added, of what was stored.
    """
    before = _before(path)
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
    if architecture in OTHER_SIZES:
        folder.card["size"] = OTHER_SIZES[architecture]
    saved = checkpoint.save(folder, classifier.float().eval())
    # From here on what is measured is what was stored: float16 weights, read back.
    stored = checkpoint.load(saved, classifier.embedding).to(resolve_device("auto"))
    held_back = [row for source in sources for row in source.held_back]
    logits, truth = _logits_and_labels(stored, tokenizer, held_back)
    temperature = round(fit_temperature(logits, truth), 4)
    hits = (logits.argmax(1) == truth).float()
    right = torch.split(hits, [len(source.held_back) for source in sources])
    accuracy = {s.name: round(float(r.mean()), 4) for s, r in zip(sources, right, strict=True)}
    mean = round(sum(accuracy.values()) / len(accuracy), 4)
    told = {"held_back_accuracy": mean, "held_back": accuracy} | made
    calibration = {
        "method": "temperature scaling (arXiv 1706.04599) on held-back training rows",
        "temperature": temperature,
        "rows": len(held_back),
    }
    card = saved.card | {"training": told, "calibration": calibration}
    final = replace(saved, temperature=temperature, card=card)
    final = replace(final, card=final.card | told_before(before, final))
    folders.write(final)
    return final


def _before(path: Path) -> ModelFolder | None:
    try:
        return folders.read(path)
    except CheckpointError:  # nothing is there, or nothing that can be read: no reason to fail
        return None


def told_before(before: ModelFolder | None, now: ModelFolder) -> dict[str, Any]:
    """What a card still has to tell of the model that another replaces.

    That is how fast such an encoder trains, and, as the last of ``tried``, how the one replaced was
    made and how good it was. Of the very same model it is all that was measured.
    """
    if before is None:
        return {"tried": []}
    earlier = before.card
    tried = list(earlier.get("tried", []))
    if (before.sha256, before.temperature) == (now.sha256, now.temperature):
        measured = ("accuracy", "memory_horizon", "memory", "training_speed")
        return {key: earlier[key] for key in measured if key in earlier} | {"tried": tried}
    told: dict[str, Any] = {"tried": [*tried, attempt(before)]}
    same_kind = (before.architecture, before.config) == (now.architecture, now.config)
    if same_kind and "training_speed" in earlier:
        told["training_speed"] = earlier["training_speed"]
    return told


def attempt(folder: ModelFolder) -> dict[str, Any]:
    """A training that wasn't kept, for the card of the one that was."""
    made = folder.card.get("training", {})
    accuracy = folder.card.get("accuracy", {})
    return {
        "command": made.get("command"),
        "held_back_accuracy": made.get("held_back_accuracy"),
        "accuracy": {data: scores.get("accuracy") for data, scores in accuracy.items()},
    }


def _logits_and_labels(
    classifier: Classifier, tokenizer: Tokenizer, rows: Sequence[Row]
) -> tuple[torch.Tensor, torch.Tensor]:
    """What a classifier says of each row, (N, C), and the position of the row's label, (N,)."""
    labels = classifier.config.labels
    prepared = prepare([row.text for row in rows], tokenizer, classifier.config.max_length)
    windows = [text.windows[0] for text in prepared]
    logits = torch.tensor(Predictor(tokenizer, classifier).logits(windows))
    return logits, torch.tensor([data.label_index(row.label, labels) for row in rows])

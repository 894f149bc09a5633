"""What a run is asked to do, and what is told of it afterwards in the model's card."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from models.device import describe, resolve_device
from models.folder import ModelFolder
from models.pooling import Pooling
from training.fit import FitReport
from training.recipes import Recipe


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingJob:
    """What to train, on what, and where to put it.

    Attributes:
        architecture: a key of the registry.
        name: the folder below ``weights`` to write, and the name to serve it by.
        sources: data sets and how often each is seen a pass.
        labels: the classes in the order of the logits; None takes them from the data.
        teachers: models of ``weights``, or folders, to learn from; none to learn the labels.
        pooling: how hidden states become one vector; None is the architecture's own way.
        from_pretrained: start the encoder from the pretrained one (``minilm`` alone).
        start: a model of ``weights`` to go on from, of the same architecture; None starts anew.
        weights: the folder of models.
        work: an ignored folder for checkpoints and the teacher's answers.
        recipe: the run's settings.
        precision: ``float32``, ``bfloat16`` or ``auto``, for the training and for the teacher.
        command: what was typed, for the card.
    """

    architecture: str
    name: str
    sources: list[tuple[str, float]]
    labels: tuple[str, ...] | None
    teachers: tuple[str, ...]
    pooling: Pooling | None
    from_pretrained: bool
    start: str | None
    weights: Path
    work: Path
    recipe: Recipe
    precision: str
    command: str


def training_facts(
    job: TrainingJob,
    report: FitReport,
    teachers: Sequence[ModelFolder],
    start: ModelFolder | None,
    masked: dict[str, Any] | None,
) -> dict[str, Any]:
    """How a model was made: enough to make it again."""
    return {
        "command": job.command,
        "data": [{"source": source, "weight": weight} for source, weight in job.sources],
        "teachers": [named(teacher) for teacher in teachers],
        "started_from": start and named(start),
        "masked_words": masked or (start and start.card.get("training", {}).get("masked_words")),
        "loss": _loss(job.recipe) if teachers else "cross-entropy on the labels",
        "recipe": asdict(job.recipe),
        "steps": report.steps,
        "stopped_early": report.stopped_early,
        "held_back_accuracy": round(report.held_back_accuracy, 4),
        "precision": report.precision,
        "tokens_per_second": round(report.tokens_per_second),
        "hardware": describe(resolve_device("auto")),
        "torch": torch.__version__,
    }


def _loss(recipe: Recipe) -> str:
    logits = "mean squared error on the teacher's logits (arXiv 1903.12136)"
    if not recipe.hints:
        return logits
    vector = "the first teacher's pooled vector (arXiv 1412.6550)"
    return f"{logits}, and {recipe.hints:g} times that on {vector}"


def named(folder: ModelFolder) -> dict[str, Any]:
    """A model that another came from, for the card: which it was, and how it was made itself."""
    made = folder.card.get("training", {})
    return {"name": folder.name, "sha256": folder.sha256["weights"], "command": made.get("command")}

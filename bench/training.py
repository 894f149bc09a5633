"""How fast each architecture trains: one optimizer step on the same batch, all in one run.

A recurrence walks the words twice in a step, once forwards and once back, so the gap that a client
waits for is there in training too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch.nn import functional as F

from bench.timing import Times, time_in_turn
from models.base import Classifier
from training.recipes import GRADIENT_NORM


@dataclass(frozen=True, slots=True)
class Shape:
    """A batch with nothing to pad.

    Attributes:
        rows: texts.
        length: tokens of each; a model with a shorter window gets its window.
    """

    rows: int
    length: int


@dataclass(frozen=True, slots=True)
class Speed:
    """How fast one model trains in one number format.

    Attributes:
        model: its name.
        dtype: ``float32``, or ``bfloat16`` by autocast, weights and optimizer in float32; on a GPU
            autocast runs cuDNN's recurrences in float16 then (``training/precision.py``).
        shape: of its batch.
        times: of a step.
    """

    model: str
    dtype: str
    shape: Shape
    times: Times

    @property
    def tokens_per_second(self) -> float:
        return self.shape.rows * self.shape.length / self.times.wall


def measure_training(
    classifiers: Mapping[str, Classifier],
    shape: Shape,
    dtypes: Sequence[str],
    seconds: float,
    device: torch.device,
) -> list[Speed]:
    """Times a step of each classifier in each format, in turn.

    The classifiers' weights are trained on noise meanwhile: don't keep them.

    Args:
        classifiers: by name, on ``device``.
        shape: of the batch that all are given.
        dtypes: ``float32``, ``bfloat16`` or both.
        seconds: for each cell.
        device: where.
    """
    steps: dict[tuple[str, str], Callable[[], object]] = {}
    shapes: dict[str, Shape] = {}
    for name, classifier in classifiers.items():
        window = classifier.config.max_length or shape.length
        shapes[name] = Shape(shape.rows, min(shape.length, window))
        for dtype in dtypes:
            steps[name, dtype] = _step(classifier, shapes[name], dtype)
    timed = time_in_turn(steps, seconds, device)
    return [Speed(name, dtype, shapes[name], times) for (name, dtype), times in timed.items()]


def _step(classifier: Classifier, shape: Shape, dtype: str) -> Callable[[], object]:
    device = classifier.head.weight.device
    input_ids = torch.randint(
        classifier.embedding.vocab_size, (shape.rows, shape.length), device=device
    )
    attention_mask = torch.ones_like(input_ids, dtype=torch.bool)
    labels = torch.zeros(shape.rows, dtype=torch.int64, device=device)
    classifier.train()
    parameters = list(classifier.parameters())
    optimizer = torch.optim.AdamW(parameters, lr=1e-6, fused=True)

    def step() -> None:
        with torch.autocast(device.type, torch.bfloat16, enabled=dtype == "bfloat16"):
            logits = classifier(input_ids, attention_mask).float()
        torch.autograd.backward(F.cross_entropy(logits, labels))
        torch.nn.utils.clip_grad_norm_(parameters, GRADIENT_NORM)
        optimizer.step()
        optimizer.zero_grad()

    return step

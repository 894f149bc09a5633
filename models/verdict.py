"""Logits to a calibrated verdict. No torch: a verdict has as many numbers as there are labels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from models.windows import PreparedText


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a model says of a text.

    Attributes:
        label: the likeliest label.
        score: its probability.
        scores: the probability of every label; they sum to 1.
    """

    label: str
    score: float
    scores: dict[str, float]


def judge(
    logits: Sequence[Sequence[float]],
    lengths: Sequence[int],
    labels: Sequence[str],
    temperature: float,
) -> Verdict:
    """The verdict on one text.

    Args:
        logits: one row of C a window of the text.
        lengths: tokens of each window; windows count by their length.
        labels: C names.
        temperature: divides the logits before the softmax (Guo et al. 2017, arXiv 1706.04599,
            section 4.2); fitted on rows held back from training.
    """
    mean = logits[0] if len(logits) == len(lengths) == 1 else _mean(logits, lengths)
    probabilities = softmax([logit / temperature for logit in mean])
    best = max(range(len(labels)), key=probabilities.__getitem__)
    return Verdict(labels[best], probabilities[best], dict(zip(labels, probabilities, strict=True)))


def _mean(logits: Sequence[Sequence[float]], lengths: Sequence[int]) -> list[float]:
    total = sum(lengths)
    return [
        sum(logit * length for logit, length in zip(column, lengths, strict=True)) / total
        for column in zip(*logits, strict=True)
    ]


def judge_texts(
    prepared: Sequence[PreparedText],
    logits: Sequence[Sequence[float]],
    labels: Sequence[str],
    temperature: float,
) -> list[Verdict]:
    """A verdict for each text, from the logits of all their windows, one row a window, in order."""
    rows = iter(logits)
    return [
        judge(
            [next(rows) for _ in text.windows],
            [len(window) for window in text.windows],
            labels,
            temperature,
        )
        for text in prepared
    ]


def softmax(logits: Sequence[float]) -> list[float]:
    """exp(x_i) / sum exp(x_j), shifted by the largest so that nothing overflows."""
    largest = max(logits)
    powers = [math.exp(logit - largest) for logit in logits]
    total = sum(powers)
    return [power / total for power in powers]

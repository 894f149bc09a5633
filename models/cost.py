"""What a classifier costs, known before it runs: parameters, operations, and steps in a row."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from torch import nn

from models.base import Classifier

REFERENCE_LENGTH = 128  # tokens: where per-token figures are quoted


@dataclass(frozen=True, slots=True)
class Cost:
    """A classifier's price at one length.

    Attributes:
        parameters: numbers held by the ``embedding``, the ``encoder`` and the ``head``.
        length: tokens of one text for which the rest is stated.
        flops_per_token: floating point operations a token, 2 a multiply-add.
        sequential_depth: steps that must wait for one another.
        longest_path: steps between the two words furthest apart.
    """

    parameters: dict[str, int]
    length: int
    flops_per_token: int
    sequential_depth: int
    longest_path: int

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def cost(classifier: Classifier, length: int = REFERENCE_LENGTH) -> Cost:
    """The price of one text of ``length`` tokens."""
    return Cost(
        parameters={
            "embedding": classifier.embedding.weight.numel(),
            "encoder": count(classifier.encoder),
            "head": count(classifier.head),
        },
        length=length,
        flops_per_token=flops(classifier, length) // length,
        sequential_depth=classifier.encoder.sequential_depth(length),
        longest_path=classifier.encoder.longest_path(length),
    )


def flops(classifier: Classifier, length: int) -> int:
    """Operations for one text: the encoder's at that length, and the head's."""
    return classifier.encoder.flops(length) + 2 * classifier.head.weight.numel()


def count(module: nn.Module) -> int:
    """Trainable numbers in a module."""
    return sum(parameter.numel() for parameter in module.parameters())

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
        reach: words away that the state at a word has read after 1, 2, ... steps; None for all.
        stride: words that each step after those adds.
        schedules: ``sequential_depth`` under each order that the encoder can be run in.
    """

    parameters: dict[str, int]
    length: int
    flops_per_token: int
    sequential_depth: int
    longest_path: int
    reach: list[int | None]
    stride: int
    schedules: dict[str, int]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, without ``schedules`` where there is one order alone."""
        values = asdict(self)
        return values if self.schedules else {k: v for k, v in values.items() if k != "schedules"}


def cost(classifier: Classifier, length: int = REFERENCE_LENGTH) -> Cost:
    """The price of one text of ``length`` tokens."""
    encoder = classifier.encoder
    return Cost(
        parameters={
            "embedding": classifier.embedding.weight.numel(),
            "encoder": count(encoder),
            "head": count(classifier.head),
        },
        length=length,
        flops_per_token=flops(classifier, length) // length,
        sequential_depth=encoder.sequential_depth(length),
        longest_path=encoder.longest_path(length),
        reach=list(encoder.reach()),
        stride=encoder.stride,
        schedules={name: encoder.sequential_depth(length, name) for name in encoder.schedules},
    )


def flops(classifier: Classifier, length: int) -> int:
    """Operations for one text: the encoder's at that length, and the head's."""
    return classifier.encoder.flops(length) + 2 * classifier.head.weight.numel()


def count(module: nn.Module) -> int:
    """Trainable numbers in a module."""
    return sum(parameter.numel() for parameter in module.parameters())

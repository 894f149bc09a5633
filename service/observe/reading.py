"""Metrics read back as numbers, out of what a registry collects."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol


class Sample(Protocol):
    """One line of an exposition."""

    @property
    def name(self) -> str: ...
    @property
    def labels(self) -> dict[str, str]: ...
    @property
    def value(self) -> float: ...


class Family(Protocol):
    """All samples of one metric."""

    @property
    def name(self) -> str: ...
    @property
    def samples(self) -> Iterable[Sample]: ...


@dataclass(slots=True)
class HistogramCell:
    """One histogram at one set of label values.

    Attributes:
        labels: name to value.
        count: observations.
        total: their sum.
        buckets: (upper edge, observations at or below it), rising; the last edge is infinite.
    """

    labels: dict[str, str]
    count: int = 0
    total: float = 0.0
    buckets: list[tuple[float, int]] = field(default_factory=list)


def cells(families: Iterable[Family], name: str) -> list[HistogramCell]:
    """The histogram ``name``, a cell for each set of label values."""
    found: dict[tuple[tuple[str, str], ...], HistogramCell] = {}
    for sample in (s for family in families if family.name == name for s in family.samples):
        labels = {key: value for key, value in sample.labels.items() if key != "le"}
        cell = found.setdefault(tuple(sorted(labels.items())), HistogramCell(labels))
        match sample.name.removeprefix(name):
            case "_bucket":
                cell.buckets.append((float(sample.labels["le"]), int(sample.value)))
            case "_count":
                cell.count = int(sample.value)
            case "_sum":
                cell.total = sample.value
    for cell in found.values():
        cell.buckets.sort()
    return list(found.values())


def by_model(families: Iterable[Family], name: str) -> dict[str, float]:
    """The counter ``name``, whose one label is the model."""
    samples = (s for family in families if family.name == name for s in family.samples)
    return {sample.labels["model"]: sample.value for sample in samples}

"""Where requests' time went, as replies told it in ``Server-Timing``: percentiles by model."""

from __future__ import annotations

import re
from array import array
from collections.abc import Mapping
from statistics import quantiles
from typing import Any

PERCENTILES = (50, 90, 99)
_ENTRY = re.compile(r"([a-z]+);dur=([0-9.]+)")

Samples = dict[str, dict[str, list[float]]]  # ms, by model and stage


def parse_server_timing(header: str) -> dict[str, float]:
    """``parse;dur=0.112, …, total;dur=3.121`` as ms by stage."""
    return {stage: float(duration) for stage, duration in _ENTRY.findall(header)}


class StageTimes:
    """Durations in ms of every stage of every request, by model; eight bytes each."""

    def __init__(self) -> None:
        self._times: dict[str, dict[str, array[float]]] = {}

    def add(self, model: str, stages: Mapping[str, float]) -> None:
        """One request's."""
        for stage, duration in stages.items():
            self._of(model, stage).append(duration)

    def drain(self) -> Samples:
        """All so far, forgotten here: to be sent to who gathers them."""
        times, self._times = self._times, {}
        return {
            model: {stage: list(durations) for stage, durations in stages.items()}
            for model, stages in times.items()
        }

    def merge(self, samples: Samples) -> None:
        """What another gathered."""
        for model, stages in samples.items():
            for stage, durations in stages.items():
                self._of(model, stage).extend(durations)

    def rows(self) -> list[list[str]]:
        """A row a model and stage, under a row of headings; ms."""
        rows = [["model", "stage", "requests", *(f"p{p}" for p in PERCENTILES)]]
        for model in sorted(self._times):
            for stage, durations in self._times[model].items():
                # A single value has no quantiles, two equal ones have.
                cuts = quantiles([*durations] * 2, n=100, method="inclusive")
                points = [f"{cuts[percent - 1]:.3f}" for percent in PERCENTILES]
                rows.append([model, stage, f"{len(durations):,}", *points])
        return rows

    def _of(self, model: str, stage: str) -> array[float]:
        return self._times.setdefault(model, {}).setdefault(stage, array("d"))


def gap_rows(gap: Mapping[str, Any], least: int) -> list[list[str]]:
    """``GET /v1/gap`` as rows under headings; means of fewer than ``least`` forwards left out."""
    rows = [["model", "tokens", "batch", "requests", "mean ms", f"ratio to {gap['baseline']}"]]
    for forward in gap["forwards"]:
        if forward["count"] < least:
            continue
        name = ", ".join(filter(None, (forward["model"], forward["schedule"])))
        ratio = "-" if forward["ratio"] is None else f"{forward['ratio']:.2f}"
        mean = f"{forward['mean_ms']:.3f}"
        buckets = (forward["length_bucket"], forward["batch_bucket"])
        rows.append([name, *buckets, f"{forward['count']:,}", mean, ratio])
    return rows

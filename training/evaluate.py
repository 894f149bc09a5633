"""How good a model is on labelled texts it hasn't seen, read whole, as the service reads them."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch

from models.device import computes_bfloat16
from models.predict import Prediction, Predictor
from training.calibrate import calibration_noise, expected_calibration_error
from training.data import DataSet, label_index


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Scores on one data set.

    Attributes:
        data: the set's name.
        rows: texts scored.
        accuracy: share of texts whose label is right.
        f1: harmonic mean of precision and recall, averaged over the labels.
        calibration_error: expected, 15 bins of equal mass, after temperature scaling.
        calibration_noise: the error that this many rows would show of a perfectly calibrated model.
        labels: names of the rows and columns of the confusion matrix.
        confusion: texts by true label (row) and predicted label (column).
        schedules_agree: share of texts with one label under every schedule; None where there is
            one schedule.
        bfloat16_agrees: share of texts with one label in float32 and in bfloat16, under every
            schedule; None where bfloat16 wasn't tried.
    """

    data: str
    rows: int
    accuracy: float
    f1: float
    calibration_error: float
    calibration_noise: float
    labels: tuple[str, ...]
    confusion: list[list[int]]
    schedules_agree: float | None = None
    bfloat16_agrees: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """For a card: everything but the name, rounded to what the number of rows supports."""
        values = asdict(self)
        del values["data"]
        for key in ("accuracy", "f1", "calibration_error", "calibration_noise"):
            values[key] = round(values[key], 4)
        for key in ("schedules_agree", "bfloat16_agrees"):
            agreement = values.pop(key)
            if agreement is not None:
                values[key] = round(agreement, 4)
        return values | {"labels": list(self.labels)}

    def table(self) -> str:
        """A few lines for a terminal."""
        width = max(len(label) for label in self.labels) + 2
        lines = [
            f"{self.data}: {self.rows} rows",
            f"  accuracy           {self.accuracy:7.2%}",
            f"  F1 (macro)         {self.f1:7.2%}",
            f"  calibration error  {self.calibration_error:7.2%}"
            f"  ({self.calibration_noise:.2%} by chance alone)",
            "  confusion (rows: true, columns: predicted)",
            "  " + " " * width + "".join(f"{label:>{width}}" for label in self.labels),
        ]
        for label, counts in zip(self.labels, self.confusion, strict=True):
            lines.append(f"  {label:>{width}}" + "".join(f"{count:>{width}}" for count in counts))
        if self.schedules_agree is not None:
            lines.append(
                f"  one label under every schedule: {self.schedules_agree:.2%} of the rows"
            )
        if self.bfloat16_agrees is not None:
            lines.append(
                f"  one label in float32 and bfloat16: {self.bfloat16_agrees:.2%} of the rows"
            )
        return "\n".join(lines)


def evaluate(predictor: Predictor, data: DataSet, halved: Predictor | None = None) -> Evaluation:
    """Scores a model on a data set.

    Args:
        predictor: in float32.
        data: labelled texts.
        halved: the same model in bfloat16, to be compared with it; see ``in_bfloat16``.
    """
    labels = predictor.classifier.config.labels
    texts = [row.text for row in data.rows]
    by_schedule = _under_every_schedule(predictor, texts)
    predictions = by_schedule[0]
    in_both = by_schedule + _under_every_schedule(halved, texts) if halved else None
    truth = torch.tensor([label_index(row.label, labels) for row in data.rows])
    predicted = torch.tensor([labels.index(p.verdict.label) for p in predictions])
    confidences = torch.tensor([p.verdict.score for p in predictions])
    correct = predicted == truth
    confusion = torch.zeros(len(labels), len(labels), dtype=torch.int64)
    confusion.index_put_((truth, predicted), torch.ones_like(truth), accumulate=True)
    return Evaluation(
        data=data.name,
        rows=len(data.rows),
        accuracy=float(correct.float().mean()),
        f1=_macro_f1(confusion),
        calibration_error=expected_calibration_error(confidences, correct),
        calibration_noise=calibration_noise(confidences),
        labels=labels,
        confusion=confusion.tolist(),
        schedules_agree=_agreement(by_schedule) if len(by_schedule) > 1 else None,
        bfloat16_agrees=_agreement(in_both) if in_both else None,
    )


def in_bfloat16(predictor: Predictor) -> Predictor | None:
    """The same model as the service runs it in bfloat16; None where the device has no such format.

    On a CPU the weights are packed, as they are there.
    """
    classifier = predictor.classifier
    device = classifier.head.weight.device
    if not computes_bfloat16(device):
        return None
    shared = {id(classifier.embedding): classifier.embedding}
    halved = copy.deepcopy(classifier, shared).cast(torch.bfloat16)
    return replace(predictor, classifier=halved.pack() if device.type == "cpu" else halved)


def _under_every_schedule(predictor: Predictor, texts: Sequence[str]) -> list[Sequence[Prediction]]:
    schedules = predictor.classifier.encoder.schedules or (None,)
    return [predictor.predict(texts, schedule=schedule) for schedule in schedules]


def _agreement(by_run: Sequence[Sequence[Prediction]]) -> float:
    """Share of the texts that have one label in all."""
    said = [[one.verdict.label for one in predictions] for predictions in by_run]
    same = [len(set(labels)) == 1 for labels in zip(*said, strict=True)]
    return sum(same) / len(same)


def _macro_f1(confusion: torch.Tensor) -> float:
    hits = confusion.diagonal().float()
    # 2·TP / (2·TP + FP + FN); a label that is neither present nor predicted counts 0.
    return float((2 * hits / (confusion.sum(0) + confusion.sum(1)).clamp(min=1)).mean())

"""Text to verdict: the one way from words to a calibrated score.

    text ──prepare──▶ windows ──place──▶ batch ──run──▶ logits ──judge──▶ verdicts
            windows.py            here            here            verdict.py

The service runs the four verbs in two processes; the command line, training and the bench run them
through ``Predictor``. Nobody runs anything else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from models.base import Classifier, Schedule
from models.line import Line, joined
from models.tokenizer import Tokenizer
from models.verdict import Verdict, judge_texts
from models.windows import LongInput, PreparedText, prepare


class Padded(NamedTuple):
    """Windows in one batch, padded: see ``Classifier.forward``."""

    input_ids: Tensor
    attention_mask: Tensor


Batch = Padded | Line


def collate(
    windows: Sequence[Sequence[int]], padding_id: int = 0, length: int | None = None
) -> Padded:
    """Windows to one padded batch: input_ids (B, T) int64 and attention_mask (B, T) bool.

    Args:
        windows: token ids of each.
        padding_id: what stands after them.
        length: T; None for that of the longest window.
    """
    longest = length or max(map(len, windows))
    rows, real = list[Sequence[int]](), bytearray()
    for window in windows:
        padding = longest - len(window)
        rows += [window, [padding_id] * padding]
        real += b"\1" * len(window) + bytes(padding)
    ids = joined(rows)
    input_ids = torch.frombuffer(ids, dtype=torch.int32).view(-1, longest)  # (B, T)
    attention_mask = torch.frombuffer(real, dtype=torch.bool).view(-1, longest)  # (B, T)
    return Padded(input_ids.long(), attention_mask)


def pad(
    classifier: Classifier,
    windows: Sequence[Sequence[int]],
    schedule: Schedule | None = None,
    padding_id: int = 0,
) -> Padded:
    """Windows to a checked batch on the classifier's device.

    Raises:
        InputError: a window doesn't fit the contract of ``Classifier.forward``.
    """
    device = classifier.head.weight.device
    if device.type == "cpu":  # where forward looks for itself
        return collate(windows, padding_id, classifier.usual_length(max(map(len, windows))))
    input_ids, attention_mask = collate(windows, padding_id)
    # Here and not there: an id out of range would end the process on a GPU, with all it holds.
    classifier.check(input_ids, attention_mask, schedule)
    if device.type == "cuda":
        # From pinned memory they are copied while the host goes on.
        input_ids, attention_mask = input_ids.pin_memory(), attention_mask.pin_memory()
    return Padded(
        input_ids.to(device, non_blocking=True), attention_mask.to(device, non_blocking=True)
    )


def place(
    classifier: Classifier,
    windows: Sequence[Sequence[int]],
    schedule: Schedule | None = None,
    padding_id: int = 0,
) -> Batch:
    """Windows as the classifier reads them fastest, ready to ``run``. Raises as ``pad`` does."""
    if classifier.reader is not None:
        classifier.check_schedule(schedule)
        return Line.of(windows)
    return pad(classifier, windows, schedule, padding_id)


def run(
    classifier: Classifier, batch: Batch, schedule: Schedule | None = None
) -> list[list[float]]:
    """One forward pass: logits of each row, on the host, so a GPU has finished when it returns.

    Raises:
        InputError: the batch doesn't fit the contract of ``Classifier.forward``.
    """
    if isinstance(batch, Line):
        assert classifier.reader is not None, "it was placed for one"
        return classifier.reader(batch)
    with torch.inference_mode():
        logits: Tensor = classifier(*batch, schedule)
        rows: list[list[float]] = logits.float().cpu().tolist()
    return rows


@dataclass(frozen=True, slots=True)
class Prediction:
    """A verdict and what was read to reach it."""

    verdict: Verdict
    prepared: PreparedText


@dataclass(frozen=True, slots=True)
class Predictor:
    """A classifier with all it needs to take texts.

    Attributes:
        tokenizer: the one it was trained with.
        classifier: in evaluation mode, on its device.
        temperature: of its calibration.
        max_padded_tokens: the most tokens of one batch, padding included.
        tell: told after each batch how many windows it had.
    """

    tokenizer: Tokenizer
    classifier: Classifier
    temperature: float = 1.0
    max_padded_tokens: int = 4096
    tell: Callable[[int], object] | None = None

    def predict(
        self,
        texts: Sequence[str],
        long_input: LongInput = "truncate",
        schedule: Schedule | None = None,
    ) -> list[Prediction]:
        """A verdict for each text, in the order given.

        Raises:
            InputError: a text can't be read; see ``windows.prepare``.
        """
        return self.judge(self.prepare(texts, long_input), schedule)

    def prepare(
        self, texts: Sequence[str], long_input: LongInput = "truncate"
    ) -> list[PreparedText]:
        """Texts as the model will read them. Raises InputError as ``windows.prepare`` does."""
        return prepare(texts, self.tokenizer, self.classifier.config.max_length, long_input)

    def judge(
        self, prepared: Sequence[PreparedText], schedule: Schedule | None = None
    ) -> list[Prediction]:
        """A verdict for each prepared text, in the order given."""
        logits = self.logits([w for text in prepared for w in text.windows], schedule)
        verdicts = judge_texts(prepared, logits, self.classifier.config.labels, self.temperature)
        return [Prediction(verdict, text) for verdict, text in zip(verdicts, prepared, strict=True)]

    def logits(
        self, windows: Sequence[Sequence[int]], schedule: Schedule | None = None
    ) -> list[list[float]]:
        """Logits of each window, in the order given; run by length, so that little is padding."""
        rows: list[list[float]] = [[]] * len(windows)
        for positions, chosen in self.batches(windows):
            batch = place(self.classifier, chosen, schedule, self.tokenizer.padding_id)
            logits = run(self.classifier, batch, schedule)
            for index, row in zip(positions, logits, strict=True):
                rows[index] = row
        return rows

    def batches(
        self, windows: Sequence[Sequence[int]]
    ) -> Iterator[tuple[list[int], list[Sequence[int]]]]:
        """Positions of windows of like length, and those; after each use, ``tell`` is told."""
        for batch in batches_by_length([len(w) for w in windows], self.max_padded_tokens):
            yield batch, [windows[i] for i in batch]
            if self.tell:
                self.tell(len(batch))


def batches_by_length(lengths: Sequence[int], max_padded_tokens: int) -> Iterator[list[int]]:
    """Positions in groups of like length, each at most ``max_padded_tokens`` with its padding.

    A text that is longer by itself is a group of its own.
    """
    batch: list[int] = []
    for index in sorted(range(len(lengths)), key=lengths.__getitem__):
        if batch and (len(batch) + 1) * lengths[index] > max_padded_tokens:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch

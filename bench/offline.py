"""What no server can do: the same texts, all there at once, sorted and batched in one process."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from models import folder as folders
from models.predict import batches_by_length
from models.tokenizer import Tokenizer
from models.verdict import Verdict, judge_texts
from models.windows import prepare
from service.engine.compute import Compute

# Padded tokens of a batch, of which the best counts.
BOUNDS = {"cpu": (512, 1024, 2048, 4096, 8192), "cuda": (4096, 8192, 16384, 32768, 65536)}
FEWEST, MOST = 64, 4096  # texts of a pass


class Offline:
    """One model and some texts, by the very forward that the service runs.

    Args:
        weights: the folder of models.
        model, schedule, device, dtype: what runs, where and how.
        threads: cores that a forward may use.
    """

    def __init__(
        self,
        weights: Path,
        model: str,
        schedule: str | None,
        device: str,
        dtype: str,
        threads: int,
    ) -> None:
        self._folder = folders.discover(weights, [model])[model]
        self._tokenizer = Tokenizer.load(weights / folders.WORDPIECE)
        self._compute = Compute(weights, [model], device, dtype, threads)
        self._schedule = schedule
        self._bounds = BOUNDS[self._compute.device.type]
        self.texts: Sequence[str] = ()
        self.padded_tokens = self._bounds[-1]

    def choose(self, texts: Sequence[str], seconds: float) -> None:
        """Takes as many of ``texts`` as keep it busy for about ``seconds``, and the best bound."""
        few = texts[:FEWEST]
        self._seconds(few, self.padded_tokens)  # the first pass sets things up
        rate = len(few) / self._seconds(few, self.padded_tokens)
        self.texts = texts[: round(min(MOST, max(FEWEST, rate * seconds)))]
        self.padded_tokens = min(self._bounds, key=lambda bound: self._seconds(self.texts, bound))

    def texts_per_second(self) -> float:
        """Of one pass, from texts to verdicts."""
        return len(self.texts) / self._seconds(self.texts, self.padded_tokens)

    def classify(self, texts: Sequence[str], padded_tokens: int) -> list[Verdict]:
        """A verdict for each text, in the order given."""
        folder = self._folder
        loaded = self._compute.models[folder.name]
        prepared = prepare(texts, self._tokenizer, loaded.classifier.config.max_length)
        windows = [window for text in prepared for window in text.windows]
        logits: list[list[float]] = [[]] * len(windows)
        for batch in batches_by_length([len(window) for window in windows], padded_tokens):
            chosen = [windows[index] for index in batch]
            result = self._compute.run(folder.name, self._schedule, chosen)
            for index, row in zip(batch, result.logits, strict=True):
                logits[index] = row
        labels = loaded.classifier.config.labels
        return judge_texts(prepared, logits, labels, folder.temperature)

    def _seconds(self, texts: Sequence[str], padded_tokens: int) -> float:
        began = time.perf_counter()
        self.classify(texts, padded_tokens)
        return time.perf_counter() - began

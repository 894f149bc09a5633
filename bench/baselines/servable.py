"""What every baseline serves: one model, from texts to verdicts, in batches as they come."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HOST = "127.0.0.1"
DTYPES = ("float32", "bfloat16")


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """How a baseline runs; crosses to another process where it has one.

    Attributes:
        weights: the folder of models.
        model: one of them.
        schedule: of a linear recurrence; None for the others.
        device: where forwards run, as ``models.device.resolve_device`` has it.
        dtype: ``float32`` or ``bfloat16``.
        threads: cores that a forward may use.
        port: to listen on.
        batch_size: most texts of a forward.
        window_ms: how long a batch that isn't full is held open.
        settled: the forward is the one that the service would choose in that dtype; else a padded
            batch through torch's own layers, over weights as they lie, kernel by kernel.
        free: no forward is run, and every logit is 0: what is left is the server.
        quiet: no line a request is logged.
    """

    weights: Path
    model: str
    schedule: str | None
    device: str
    dtype: str
    threads: int
    port: int
    batch_size: int
    window_ms: float
    settled: bool
    free: bool
    quiet: bool


class Servable:
    """The model, ready to take texts."""

    def __init__(self, options: Options) -> None:
        # Here: what only describes a baseline needs no torch.
        import torch

        from models import allocator
        from models.checkpoint import load_predictor
        from service.engine import choices

        torch.set_num_threads(options.threads)
        self._options = options
        self._folder, self._predictor = load_predictor(
            options.weights, options.model, options.device
        )
        classifier = self._predictor.classifier
        self._graphs = choices.NO_GRAPHS
        if options.settled:
            allocator.keep_freed_memory()
            choices.settle(classifier, options.dtype)
            self._graphs = choices.capture(classifier)
        else:
            classifier.cast(getattr(torch, options.dtype))
            classifier.encoder.share_rows = False
        self.classify(["a film"])  # the first forward sets things up

    def classify(self, texts: Sequence[str]) -> list[dict[str, Any]]:
        """A verdict for each text, from one forward over all, padded to the longest unless settled.

        Raises:
            InputError: a text can't be read.
        """
        from models.verdict import judge_texts
        from models.windows import prepare

        predictor = self._predictor
        config = predictor.classifier.config
        prepared = prepare(texts, predictor.tokenizer, config.max_length)
        logits = self._forward([window for text in prepared for window in text.windows])
        verdicts = judge_texts(prepared, logits, config.labels, predictor.temperature)
        return [
            {"label": verdict.label, "score": verdict.score, "scores": verdict.scores}
            for verdict in verdicts
        ]

    def _forward(self, windows: Sequence[Sequence[int]]) -> list[list[float]]:
        from models import predict
        from service.engine import choices

        classifier, schedule = self._predictor.classifier, self._options.schedule
        batch = predict.place(classifier, windows, schedule, self._predictor.tokenizer.padding_id)  # type: ignore[arg-type]  # a word of the command line
        if self._options.free:
            return [[0.0] * len(classifier.config.labels) for _ in windows]
        return choices.forward(classifier, self._graphs, batch, schedule)  # type: ignore[arg-type]


def parse(description: str, words: Sequence[str] | None = None) -> Options:
    """The options of a baseline's command line."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--schedule")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", choices=DTYPES, default="float32")
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--window-ms", type=float, default=5.0)
    parser.add_argument("--settled", action="store_true")
    parser.add_argument("--free", action="store_true")
    parser.add_argument("--quiet", action="store_true")
    return Options(**vars(parser.parse_args(words)))

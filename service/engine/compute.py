"""The models, loaded, and one batch's forward. The service's only use of torch."""

from __future__ import annotations

import copy
import logging
import math
import resource
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch

from models import checkpoint, cost, predict
from models import folder as folders
from models.base import Classifier, Schedule
from models.device import resolve_device, synchronize
from models.embedding import FrozenEmbedding
from models.folder import ModelFolder
from service.observe.timing import now

logger = logging.getLogger("lockstep.compute")

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
PROBE_SHAPES = ((1, 32), (8, 64))  # (B, T) of the forwards that choose a dtype
PROBE_REPEATS = 5
PROBE_SECONDS = 0.1  # for one shape: a busy machine must not delay the start
SCHEDULE_SHAPE = (1, 128)  # of the forwards that choose a schedule: a review, alone
WORTHWHILE = 0.9  # bfloat16 costs digits: it must take at most this share of float32's time


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model on its device.

    Attributes:
        classifier: in evaluation mode.
        dtype: ``float32`` or ``bfloat16``.
        load_seconds: reading it and choosing how to run it.
        schedule: the fastest of the encoder's; None where it has none to choose from.
    """

    classifier: Classifier
    dtype: str
    load_seconds: float
    schedule: Schedule | None


@dataclass(frozen=True, slots=True)
class BatchResult:
    """Logits of a batch and when its steps were done, in seconds of ``timing.now``."""

    logits: list[list[float]]
    on_device: float
    finished: float


class Compute:
    """Every model of a worker, over one embedding table.

    Args:
        weights: the folder of models, verified by the parent.
        names: which of them.
        device: as the setting has it.
        dtype: as the setting has it.
        threads: cores that a forward may use.
    """

    def __init__(
        self, weights: Path, names: Sequence[str], device: str, dtype: str, threads: int
    ) -> None:
        torch.set_num_threads(threads)
        self.device = resolve_device(device)
        embedding = checkpoint.load_embedding(weights / folders.WORDPIECE, torch.float16)
        embedding.to(self.device)
        self.models = {
            name: self._load(folders.read(weights / name), embedding, dtype) for name in names
        }

    def _load(self, folder: ModelFolder, embedding: FrozenEmbedding, dtype: str) -> LoadedModel:
        began = time.monotonic()
        classifier = checkpoint.load(folder, embedding).to(self.device)
        chosen = choose_dtype(classifier) if dtype == "auto" else dtype
        classifier.cast(DTYPES[chosen])
        _seconds(classifier)  # or the first client would pay for what a first forward sets up
        schedule = choose_schedule(classifier)
        seconds = time.monotonic() - began
        how = f"{chosen}, {schedule}" if schedule else chosen
        logger.info("%s on %s in %s, loaded in %.2f s", folder.name, self.device, how, seconds)
        return LoadedModel(classifier, chosen, seconds, schedule)

    def run(
        self, model: str, schedule: str | None, windows: Sequence[Sequence[int]]
    ) -> BatchResult:
        """One forward over windows of one model and schedule.

        Raises:
            FloatingPointError: a logit isn't a number.
        """
        classifier = self.models[model].classifier
        order = cast(Schedule | None, schedule)
        placed = predict.place(classifier, windows, order)
        synchronize(self.device)
        on_device = now()
        # predict.run ends with the logits on the host: a GPU has finished by then.
        logits = predict.run(classifier, *placed, order)
        finished = now()
        if not all(math.isfinite(logit) for row in logits for logit in row):
            raise FloatingPointError(f"{model} gave logits that aren't numbers")
        return BatchResult(logits, on_device, finished)

    def memory_bytes(self) -> int:
        """What this worker holds of its GPU's memory; on a CPU, of the machine's."""
        if self.device.type == "cuda":
            return torch.cuda.memory_reserved(self.device)
        resident = int(Path("/proc/self/statm").read_text().split()[1])  # in pages
        return resident * resource.getpagesize()

    def flops(self, model: str, length: int) -> int:
        """Operations of one window."""
        return cost.flops(self.models[model].classifier, length)

    def sequential_depth(self, model: str, length: int, schedule: str | None) -> int:
        """Steps of one window that must wait for one another."""
        encoder = self.models[model].classifier.encoder
        return encoder.sequential_depth(length, cast(Schedule | None, schedule))


def choose_dtype(classifier: Classifier) -> str:
    """The faster of float32 and bfloat16 on this device, by trying a copy of each."""
    float32 = _seconds(classifier)
    shared = {id(classifier.embedding): classifier.embedding}
    bfloat16 = _seconds(copy.deepcopy(classifier, shared).cast(torch.bfloat16))
    return "bfloat16" if bfloat16 < WORTHWHILE * float32 else "float32"


def choose_schedule(classifier: Classifier) -> Schedule | None:
    """The fastest order to run the encoder in, by trying each in turn; None where there is one."""
    seconds: dict[Schedule, list[float]] = {name: [] for name in classifier.encoder.schedules}
    if not seconds:
        return None
    for name in seconds:
        _forward_seconds(classifier, SCHEDULE_SHAPE, name)  # the first sets things up
    give_up = time.perf_counter() + PROBE_SECONDS * len(seconds)
    for _ in range(PROBE_REPEATS):
        for name, taken in seconds.items():
            taken.append(_forward_seconds(classifier, SCHEDULE_SHAPE, name))
        if time.perf_counter() > give_up:
            break
    return min(seconds, key=lambda name: statistics.median(seconds[name]))


def _seconds(classifier: Classifier) -> float:
    """The best of a few forwards of each probe shape, summed; few where they are slow."""
    total = 0.0
    for shape in PROBE_SHAPES:
        _forward_seconds(classifier, shape)  # the first of a shape sets things up
        best, give_up = math.inf, time.perf_counter() + PROBE_SECONDS
        for _ in range(PROBE_REPEATS):
            best = min(best, _forward_seconds(classifier, shape))
            if time.perf_counter() > give_up:
                break
        total += best
    return total


def _forward_seconds(
    classifier: Classifier, shape: tuple[int, int], schedule: Schedule | None = None
) -> float:
    """One forward over random tokens of that shape, (B, T); T is the window's at most."""
    device = classifier.head.weight.device
    B, T = shape
    T = min(T, classifier.config.max_length or T)
    input_ids = torch.randint(classifier.embedding.vocab_size, (B, T), device=device)
    attention_mask = torch.ones_like(input_ids, dtype=torch.bool)
    began = time.perf_counter()
    predict.run(classifier, input_ids, attention_mask, schedule)
    return time.perf_counter() - began

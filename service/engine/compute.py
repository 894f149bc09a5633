"""The models, loaded, and one batch's forward. The service's only use of torch."""

from __future__ import annotations

import logging
import math
import resource
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import torch

from models import checkpoint, cost, predict
from models import folder as folders
from models.base import Classifier, Schedule
from models.device import resolve_device
from models.embedding import FrozenEmbedding
from models.folder import ModelFolder
from service.engine import choices
from service.engine.choices import Graphs
from service.observe.timing import now

logger = logging.getLogger("lockstep.compute")

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model on its device.

    Attributes:
        classifier: in evaluation mode.
        dtype: ``float32`` or ``bfloat16``.
        load_seconds: reading it and choosing how to run it.
        schedule: the fastest of the encoder's; None where it has none to choose from.
        graphs: on a GPU, for batches that gain by it.
    """

    classifier: Classifier
    dtype: str
    load_seconds: float
    schedule: Schedule | None
    graphs: Graphs = field(default_factory=dict)


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
        chosen = choices.choose_dtype(classifier) if dtype == "auto" else dtype
        classifier.cast(DTYPES[chosen])
        choices.warm_up(classifier)  # or the first client would pay for it
        graphs = choices.capture(classifier)
        schedule = choices.choose_schedule(classifier, graphs)
        seconds = time.monotonic() - began
        how = f"{chosen}, {schedule}" if schedule else chosen
        logger.info("%s on %s in %s, loaded in %.2f s", folder.name, self.device, how, seconds)
        return LoadedModel(classifier, chosen, seconds, schedule, graphs)

    def run(
        self, model: str, schedule: str | None, windows: Sequence[Sequence[int]]
    ) -> BatchResult:
        """One forward over windows of one model and schedule.

        Raises:
            FloatingPointError: a logit isn't a number.
        """
        loaded = self.models[model]
        order = cast(Schedule | None, schedule)
        placed = predict.place(loaded.classifier, windows, order)
        clock = ForwardClock(self.device)
        logits = choices.forward(loaded.classifier, loaded.graphs, *placed, order)
        on_device, finished = clock.stop()
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


class ForwardClock:
    """When the batch was on its device and when the logits had come back, in seconds of ``now``.

    On a GPU the copies may still be under way when it is made, and the forward queues up behind
    them: nobody waits to look at the clock. An event there stamps the moment they are done.
    """

    def __init__(self, device: torch.device) -> None:
        self._stream = torch.cuda.current_stream(device) if device.type == "cuda" else None
        self._began = self._event() if self._stream else now()

    def stop(self) -> tuple[float, float]:
        """Both moments, once the logits are on the host."""
        if not isinstance(self._began, torch.cuda.Event):
            return self._began, now()
        ended = self._event()
        ended.synchronize()
        finished = now()
        return finished - self._began.elapsed_time(ended) / 1e3, finished

    def _event(self) -> torch.cuda.Event:
        event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        event.record(self._stream)
        return event

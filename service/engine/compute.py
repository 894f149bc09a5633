"""The models, loaded, and one batch's forward. The service's only use of torch."""

from __future__ import annotations

import logging
import math
import resource
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import cast

import torch

from models import checkpoint, cost, predict
from models import folder as folders
from models.base import Classifier, Schedule
from models.device import resolve_device
from models.embedding import FrozenEmbedding
from models.folder import ModelFolder
from models.shared_weights import Hold, own
from service.engine import choices
from service.engine.choices import Graphs
from service.engine.decisions import Decisions, Form
from service.engine.placement import share_cores
from service.observe.timing import now

logger = logging.getLogger("lockstep.compute")

KEPT_LENGTHS = 4096  # of all models, for which what a window costs is kept


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model on its device.

    Attributes:
        classifier: in evaluation mode.
        dtype: ``float32`` or ``bfloat16``.
        packed: whether its weights lie as ``models/packed.py`` has them.
        load_seconds: reading it and choosing how to run it.
        schedule: the fastest of the encoder's; None where it has none to choose from.
        undivided: whether its forwards get more done one by one, with every core.
        graphs: on a GPU, for batches that gain by it.
    """

    classifier: Classifier
    dtype: str
    packed: bool
    load_seconds: float
    schedule: Schedule | None
    undivided: bool = False
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
        fewer_threads: whether to use fewer where that is faster.
        decided: by another worker of this device, so that nothing is tried again.
        workers: that share these cores.
        hold: where weights lie.
    """

    def __init__(
        self,
        weights: Path,
        names: Sequence[str],
        device: str,
        dtype: str,
        threads: int,
        fewer_threads: bool = False,
        decided: Decisions | None = None,
        workers: int = 1,
        hold: Hold = own,
    ) -> None:
        self.cores = self.threads = threads
        self._workers, self._hold = workers, hold
        torch.set_num_threads(threads)
        self.device = resolve_device(device)
        embedding = checkpoint.load_embedding(weights / folders.WORDPIECE, torch.float16)
        embedding.to(self.device)
        read = {name: self._read(folders.read(weights / name), embedding) for name in names}
        if decided is not None:
            self.threads = decided.threads
            torch.set_num_threads(1)  # to load beside a worker that answers; see ``share``
        elif fewer_threads and self.device.type == "cpu":
            # First, since with too many of them all that follows would take longer.
            self.threads = choices.choose_threads(
                [classifier for classifier, _ in read.values()], threads
            )
            logger.info("%d of %d threads a forward", self.threads, threads)
        forms = decided.forms if decided else {}
        self.models = {
            name: self._settle(name, *read.pop(name), dtype, forms.get(name)) for name in names
        }
        # Kept, since clients wait meanwhile and lengths come again.
        self.flops = lru_cache(KEPT_LENGTHS)(self._flops)
        self.sequential_depth = lru_cache(KEPT_LENGTHS)(self._sequential_depth)

    def _read(self, folder: ModelFolder, embedding: FrozenEmbedding) -> tuple[Classifier, float]:
        """A classifier in float32 on the device, and the seconds that took."""
        began = time.monotonic()
        classifier = checkpoint.load(folder, embedding).to(self.device)
        return classifier, time.monotonic() - began

    def _settle(
        self,
        name: str,
        classifier: Classifier,
        read_seconds: float,
        dtype: str,
        form: Form | None,
    ) -> LoadedModel:
        began = time.monotonic()
        if form is None:
            chosen, packed = choices.settle(classifier, dtype, self._hold)
        else:
            chosen, packed = form.dtype, form.packed
            choices.put_into(classifier, chosen, packed, self._hold)
        choices.warm_up(classifier)  # or the first client would pay for it
        graphs = choices.capture(classifier)
        schedule = form.schedule if form else choices.choose_schedule(classifier, graphs)
        undivided = form.undivided if form else self._undivided(classifier, schedule)
        seconds = read_seconds + time.monotonic() - began
        ways = chosen, "packed" if packed else "", schedule, "undivided" if undivided else ""
        how = ", ".join(filter(None, ways))
        logger.info("%s on %s in %s, loaded in %.2f s", name, self.device, how, seconds)
        return LoadedModel(classifier, chosen, packed, seconds, schedule, undivided, graphs)

    def _undivided(self, classifier: Classifier, schedule: Schedule | None) -> bool:
        if self.device.type != "cpu":
            return False
        share = share_cores(self.cores, self._workers)
        return choices.runs_undivided(classifier, schedule, self.threads, share, self._workers)

    @property
    def decisions(self) -> Decisions:
        """What was chosen at load, for another worker of this device."""
        forms = {
            name: Form(model.dtype, model.packed, model.schedule, model.undivided)
            for name, model in self.models.items()
        }
        return Decisions(self.threads, forms)

    def share(self, computing: int) -> None:
        """The next forward uses its share of the cores, beside those of other workers.

        Args:
            computing: workers that run one, this one among them.
        """
        threads = min(self.threads, share_cores(self.cores, computing))
        if threads != torch.get_num_threads():
            torch.set_num_threads(threads)

    @property
    def unpadded(self) -> frozenset[str]:
        """Models that compute texts at their own lengths, so that padding costs nothing."""
        if self.device.type != "cpu":
            return frozenset()
        encoders = {name: model.classifier.encoder for name, model in self.models.items()}
        return frozenset(name for name, encoder in encoders.items() if not encoder.pads)

    def computed_tokens(self, model: str, lengths: Sequence[int]) -> int:
        """Tokens that a forward over texts of these lengths computes, padding included."""
        if self.device.type != "cpu":
            return len(lengths) * max(lengths)
        return self.models[model].classifier.computed_tokens(lengths)

    def run(
        self, model: str, schedule: str | None, windows: Sequence[Sequence[int]]
    ) -> BatchResult:
        """One forward over windows of one model and schedule.

        Raises:
            FloatingPointError: a logit isn't a number.
        """
        loaded = self.models[model]
        order = cast(Schedule | None, schedule)
        batch = predict.place(loaded.classifier, windows, order)
        clock = ForwardClock(self.device)
        logits = choices.forward(loaded.classifier, loaded.graphs, batch, order)
        on_device, finished = clock.stop()
        if not all(math.isfinite(logit) for row in logits for logit in row):
            raise FloatingPointError(f"{model} gave logits that aren't numbers")
        return BatchResult(logits, on_device, finished)

    def release(self) -> None:
        """Gives back what a GPU's memory is held of for no tensor, before a smaller batch."""
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    @staticmethod
    def ended_by(error: Exception) -> bool:
        """Whether no forward can follow: after most errors of a GPU every further one fails too."""
        return isinstance(error, torch.AcceleratorError)

    def memory_bytes(self) -> int:
        """What this worker holds of its GPU's memory; on a CPU, of the machine's."""
        if self.device.type == "cuda":
            return torch.cuda.memory_reserved(self.device)
        resident = int(Path("/proc/self/statm").read_text().split()[1])  # in pages
        return resident * resource.getpagesize()

    def _flops(self, model: str, length: int) -> int:
        """Operations of one window."""
        return cost.flops(self.models[model].classifier, length)

    def _sequential_depth(self, model: str, length: int, schedule: str | None) -> int:
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

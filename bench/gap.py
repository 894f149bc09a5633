"""The gap offline: the forward alone, of every model, length, batch size and schedule, in turn.

    subjects ──▶ time_in_turn ──▶ cells ──▶ fits, ratios ──▶ gap_report.py, plots.py
    (models)     (timing.py)                (gap_figures.py)

Cells of one length and batch size are timed in rounds, all models in each, so that a drift of the
machine falls on all of them alike. On a GPU each is timed twice over: as the models' code starts
its kernels (``eager``), and recorded as one graph (``captured``), which shows what starting costs.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from bench.timing import Times, time_in_turn
from models import checkpoint, cost, predict, registry
from models import folder as folders
from models.base import Classifier, Schedule
from models.captured import CapturedForward
from models.embedding import FrozenEmbedding
from service.engine.choices import settle

VOCAB_SIZE = 30522  # of a table made up where there is none: what the shipped one has

How = Literal["eager", "captured"]
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Subject:
    """A model to be timed, in evaluation mode, on its device and in its dtype."""

    model: str
    architecture: str
    random_weights: bool
    classifier: Classifier

    def schedules(self) -> tuple[Schedule | None, ...]:
        return self.classifier.encoder.schedules or (None,)

    def reads(self, length: int) -> bool:
        window = self.classifier.config.max_length
        return window is None or length <= window


@dataclass(frozen=True, slots=True)
class Line:
    """What stays the same along a curve of times against lengths.

    Attributes:
        model: its name.
        architecture: its code.
        random_weights: whether it is untrained, as nothing trained was there: time doesn't care.
        schedule: None where the architecture has one order alone.
        dtype: ``float32`` or ``bfloat16``.
        how: ``eager``, or ``captured`` as a CUDA graph.
    """

    model: str
    architecture: str
    random_weights: bool
    schedule: Schedule | None
    dtype: str
    how: How

    @property
    def name(self) -> str:
        scheduled = f"{self.model} ({self.schedule})" if self.schedule else self.model
        return f"{scheduled}*" if self.random_weights else scheduled


@dataclass(frozen=True, slots=True)
class Cell:
    """One measurement.

    Attributes:
        line: what was timed.
        length: tokens of each text, none of them padding.
        batch: texts.
        times: of a forward.
        flops: operations of the whole batch.
        steps: that had to wait for one another.
    """

    line: Line
    length: int
    batch: int
    times: Times
    flops: int
    steps: int

    @property
    def seconds_per_token(self) -> float:
        return self.times.median / (self.batch * self.length)

    @property
    def flops_per_second(self) -> float:
        return self.flops / self.times.median


def load_subjects(
    weights: Path,
    names: Sequence[str],
    dtype: torch.dtype,
    device: torch.device,
    *,
    random: bool = False,
) -> list[Subject]:
    """Models of a folder, and architectures that it holds no model of, with random weights.

    Args:
        weights: folder of models.
        names: models or architectures; none for every model and each architecture without one.
        dtype: to compute in.
        device: to compute on.
        random: untrained weights for all; ``names`` are then architectures.

    Raises:
        ValueError: a name is neither a model's nor an architecture's.
        CheckpointError: a model can't be read.
    """
    present = {} if random else present_models(weights)
    if not names:
        trained = {folder.architecture for folder in present.values()}
        names = [*present, *(name for name in registry.ARCHITECTURES if name not in trained)]
    wordpiece = weights / folders.WORDPIECE
    if (wordpiece / folders.EMBEDDING_FILE).exists():
        embedding = checkpoint.load_embedding(wordpiece, torch.float16)  # as the service has it
    else:
        embedding = FrozenEmbedding(FrozenEmbedding.random(VOCAB_SIZE, 384).weight.half())
    subjects = []
    for name in names:
        if name in present:
            folder = present[name]
            folders.verify(folder)
            architecture, classifier = folder.architecture, checkpoint.load(folder, embedding)
        elif name in registry.ARCHITECTURES:
            torch.manual_seed(0)
            architecture = name
            config = registry.ARCHITECTURES[name].config(input_size=embedding.width)
            classifier = registry.build(name, config, embedding).eval()
        else:
            known = ", ".join([*present, *registry.ARCHITECTURES])
            raise ValueError(f"no model or architecture {name!r}; there are: {known}")
        placed = classifier.to(device)
        settle(placed, str(dtype).removeprefix("torch."))  # packed, where the service would be
        subjects.append(Subject(name, architecture, name not in present, placed))
    return subjects


def present_models(weights: Path) -> dict[str, folders.ModelFolder]:
    """Models of a folder by name, which may be none."""
    paths = sorted(weights.glob(f"*/{folders.CONFIG_FILE}"))
    return {path.parent.name: folders.read(path.parent) for path in paths}


@torch.inference_mode()
def measure(
    subjects: Sequence[Subject],
    dtype: str,
    lengths: Sequence[int],
    batches: Sequence[int],
    seconds: float,
    say: Say,
) -> tuple[list[Cell], list[str]]:
    """Times every subject at every length and batch size.

    Args:
        subjects: all in ``dtype`` and on one device.
        dtype: its name.
        lengths: in tokens.
        batches: in texts.
        seconds: for each cell; a slow forward is run once after its first.
        say: told of progress, a line at a time.

    Returns:
        The cells, and remarks: what a window left out, what couldn't be recorded as a graph.
    """
    device = subjects[0].classifier.head.weight.device
    remarks = {
        f"{subject.model} reads no more than {subject.classifier.config.max_length} tokens: "
        "longer lengths are left out": None
        for subject in subjects
        if not subject.reads(max(lengths))
    }
    cells = []
    for batch, length in itertools.product(batches, lengths):
        say(f"{dtype}: {batch} x {length} tokens")
        generator = torch.Generator().manual_seed(length)
        vocabulary = subjects[0].classifier.embedding.vocab_size
        input_ids = torch.randint(vocabulary, (batch, length), generator=generator).to(device)
        attention_mask = torch.ones_like(input_ids, dtype=torch.bool)
        calls: dict[Line, Callable[[], object]] = {}
        flops, steps = {}, {}
        for subject in subjects:
            if not subject.reads(length):
                continue
            for schedule in subject.schedules():
                kinds, remark = forwards(subject.classifier, schedule, input_ids, attention_mask)
                if remark:
                    remarks[f"{subject.model}, {dtype}: {remark}"] = None
                for how, call in kinds.items():
                    line = Line(
                        subject.model,
                        subject.architecture,
                        subject.random_weights,
                        schedule,
                        dtype,
                        how,
                    )
                    calls[line] = call
                    flops[line] = batch * cost.flops(subject.classifier, length)
                    steps[line] = subject.classifier.encoder.sequential_depth(length, schedule)
        for line, times in time_in_turn(calls, seconds, device).items():
            cells.append(Cell(line, length, batch, times, flops[line], steps[line]))
    return cells, list(remarks)


def forwards(
    classifier: Classifier, schedule: Schedule | None, input_ids: Tensor, attention_mask: Tensor
) -> tuple[dict[How, Callable[[], object]], str | None]:
    """The ways to run one forward on that batch, and a remark where there is one to make."""
    eager: Callable[[], object] = partial(classifier, input_ids, attention_mask, schedule)
    if classifier.reader is not None:  # as it would be served
        eager = partial(predict.run, classifier, predict.place(classifier, input_ids.tolist()))
    kinds: dict[How, Callable[[], object]] = {"eager": eager}
    if input_ids.device.type != "cuda":
        return kinds, None
    captured = CapturedForward(classifier, schedule)
    try:
        captured.capture((input_ids.shape[0], input_ids.shape[1]))
    except RuntimeError as error:
        return kinds, f"not recorded as a graph: {str(error).splitlines()[0]}"
    kinds["captured"] = partial(captured, input_ids, attention_mask)
    return kinds, None

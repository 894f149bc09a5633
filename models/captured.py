"""A forward as a CUDA graph: every kernel of it recorded once, then started by a single call.

A small batch keeps a GPU waiting: each kernel takes a few microseconds to start and less to run,
and a forward has hundreds, a scan's or a step-by-step recurrence's thousands. A graph fixes the
shape, so each stands for a bucket: a batch of no more rows and tokens rides in it, padded.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from models.base import Classifier, Schedule
from models.device import synchronize

ROWS = (1, 4, 16)
LENGTHS = (16, 32, 64, 128, 256, 512)
LARGEST = 2048  # tokens of a bucket, padding included: above it a GPU is busy without help
WARM_UPS = 2  # forwards before one is recorded: libraries set themselves up in the first
TRIALS = 5  # forwards whose median decides whether a graph is worth keeping

Shape = tuple[int, int]  # (B, T)


@dataclass(frozen=True, slots=True)
class _Graph:
    graph: torch.cuda.CUDAGraph
    input_ids: Tensor
    attention_mask: Tensor
    logits: Tensor


class CapturedForward:
    """A classifier's forward on a GPU, one graph a shape. Not for two threads at once.

    Args:
        classifier: in evaluation mode, on its GPU, in its final dtype: a graph reads the weights
            where they lay when it was recorded.
        schedule: the one that is recorded.
    """

    def __init__(self, classifier: Classifier, schedule: Schedule | None = None) -> None:
        self.classifier = classifier
        self.schedule = schedule
        self.device = classifier.head.weight.device
        self._graphs: dict[Shape, _Graph | None] = {}  # None where one was tried and lost
        # Graphs that never run at the same time may use the same memory for what lies between.
        self._pool = torch.cuda.graph_pool_handle()

    @property
    def shapes(self) -> list[Shape]:
        """Of the graphs that there are."""
        return [shape for shape, graph in self._graphs.items() if graph]

    @torch.inference_mode()
    def capture(self, shape: Shape) -> None:
        """Records a graph for batches of ``shape``."""
        input_ids = torch.zeros(shape, dtype=torch.int64, device=self.device)
        attention_mask = torch.ones(shape, dtype=torch.bool, device=self.device)
        present = torch.cuda.current_stream(self.device)
        beside = _beside(self.device)
        beside.wait_stream(present)
        with torch.cuda.stream(beside):
            for _ in range(WARM_UPS):
                self.eager(input_ids, attention_mask)
        present.wait_stream(beside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool, stream=beside):
            logits = self.eager(input_ids, attention_mask)
        self._graphs[shape] = _Graph(graph, input_ids, attention_mask, logits)

    def drop(self, shape: Shape) -> None:
        """Forgets a graph: batches of its bucket have no other."""
        self._graphs[shape] = None

    def bucket(self, rows: int, length: int) -> Shape | None:
        """The shape whose graph such a batch rides in; None where it has none."""
        shape = smallest(self._graphs, rows, length)
        return shape if shape and self._graphs[shape] else None

    @torch.inference_mode()
    def __call__(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Logits of each row, (B, C), as ``Classifier.forward`` has them.

        They lie where the next call writes its own.

        Raises:
            KeyError: no graph holds that many rows and tokens.
        """
        rows, length = input_ids.shape
        shape = self.bucket(rows, length)
        graph = self._graphs[shape] if shape else None
        if graph is None:
            raise KeyError(f"no graph was recorded for a batch of {rows} x {length}")
        if shape != (rows, length):
            graph.attention_mask.zero_()
            graph.attention_mask[:, 0] = True  # a row that nobody asked for must still be a row
        graph.input_ids[:rows, :length].copy_(input_ids, non_blocking=True)
        graph.attention_mask[:rows, :length].copy_(attention_mask, non_blocking=True)
        graph.graph.replay()
        return graph.logits[:rows]

    def eager(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """The same without a graph."""
        logits: Tensor = self.classifier(input_ids, attention_mask, self.schedule)
        return logits

    def run(self, input_ids: Tensor, attention_mask: Tensor) -> list[list[float]]:
        """Logits of each row, on the host, as ``predict.run`` has them."""
        rows: list[list[float]] = self(input_ids, attention_mask).float().cpu().tolist()
        return rows


def smallest(shapes: Iterable[Shape], rows: int, length: int) -> Shape | None:
    """The one with the fewest tokens that has at least so many rows and such a length."""
    enough = [shape for shape in shapes if shape[0] >= rows and shape[1] >= length]
    return min(enough, key=lambda shape: (shape[0] * shape[1], shape), default=None)


def buckets(window: int | None) -> list[Shape]:
    """Shapes worth trying for an encoder that reads ``window`` tokens at most."""
    lengths = [length for length in LENGTHS if window is None or length <= window]
    return [(B, T) for B in ROWS for T in lengths if B * T <= LARGEST]


def least(shape: Shape, shapes: Sequence[Shape]) -> Shape:
    """The smallest batch that rides in ``shape``: one more than the next smaller ones hold."""
    rows = max((B for B, _ in shapes if shape[0] > B), default=0)
    length = max((T for _, T in shapes if shape[1] > T), default=0)
    return rows + 1, length + 1


def capture_where_it_wins(
    classifier: Classifier, schedule: Schedule | None = None
) -> CapturedForward | None:
    """Graphs for the buckets in which even the smallest batch gains by the padding and the graph.

    Both ways of each bucket are timed here. None on a CPU, and where no graph wins.
    """
    if classifier.head.weight.device.type != "cuda":
        return None
    captured = CapturedForward(classifier, schedule)
    tried = buckets(classifier.config.max_length)
    lost = []
    for shape in tried:
        captured.capture(shape)
        rows, length = least(shape, tried)
        input_ids = torch.zeros((rows, length), dtype=torch.int64, device=captured.device)
        batch = input_ids, torch.ones_like(input_ids, dtype=torch.bool)
        if _seconds(captured, batch) >= _seconds(captured.eager, batch):
            lost.append(shape)
    for shape in lost:  # only now: memory without a graph in it can't be shared by the next
        captured.drop(shape)
    return captured if captured.shapes else None


@torch.inference_mode()
def _seconds(forward: Callable[..., Tensor], batch: tuple[Tensor, Tensor]) -> float:
    """Median time of a forward, from its call until the GPU is done."""
    device = batch[0].device
    taken = []
    for _ in range(TRIALS + 1):
        synchronize(device)
        began = time.perf_counter()
        forward(*batch)
        synchronize(device)
        taken.append(time.perf_counter() - began)
    return statistics.median(taken[1:])  # the first of a shape sets things up


@cache
def _beside(device: torch.device) -> torch.cuda.Stream:
    """Graphs can't be recorded on a device's first stream; each further one costs memory."""
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

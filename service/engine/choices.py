"""How a worker runs a model, chosen by trying: dtype, schedule, and what is recorded as a graph."""

from __future__ import annotations

import copy
import logging
import math
import statistics
import time
from collections.abc import Mapping

import torch
from torch import Tensor

from models import predict
from models.base import Classifier, Schedule
from models.captured import CapturedForward, capture_where_it_wins

logger = logging.getLogger("lockstep.compute")

PROBE_SHAPES = ((1, 32), (8, 64))  # (B, T) of the forwards that choose a dtype
PROBE_REPEATS = 5
PROBE_SECONDS = 0.1  # for one shape: a busy machine must not delay the start
SCHEDULE_SHAPE = (1, 128)  # of the forwards that choose a schedule: a review, alone
WORTHWHILE = 0.9  # bfloat16 costs digits: it must take at most this share of float32's time

Graphs = Mapping[Schedule | None, CapturedForward]  # of forwards, by schedule
NO_GRAPHS: Graphs = {}


def forward(
    classifier: Classifier,
    graphs: Graphs,
    input_ids: Tensor,
    attention_mask: Tensor,
    schedule: Schedule | None,
) -> list[list[float]]:
    """One forward, by a graph where one holds such a batch; logits on the host, (B, C)."""
    captured = graphs.get(schedule)
    if captured is not None and captured.bucket(*input_ids.shape):
        return captured.run(input_ids, attention_mask)
    return predict.run(classifier, input_ids, attention_mask, schedule)


def choose_dtype(classifier: Classifier) -> str:
    """The faster of float32 and bfloat16 on this device, by trying a copy of each."""
    float32 = _seconds(classifier)
    shared = {id(classifier.embedding): classifier.embedding}
    bfloat16 = _seconds(copy.deepcopy(classifier, shared).cast(torch.bfloat16))
    return "bfloat16" if bfloat16 < WORTHWHILE * float32 else "float32"


def choose_schedule(classifier: Classifier, graphs: Graphs) -> Schedule | None:
    """The fastest order to run the encoder in, by trying each in turn; None where there is one."""
    seconds: dict[Schedule, list[float]] = {name: [] for name in classifier.encoder.schedules}
    if not seconds:
        return None
    for name in seconds:
        _forward_seconds(classifier, SCHEDULE_SHAPE, name, graphs)  # the first sets things up
    give_up = time.perf_counter() + PROBE_SECONDS * len(seconds)
    for _ in range(PROBE_REPEATS):
        for name, taken in seconds.items():
            taken.append(_forward_seconds(classifier, SCHEDULE_SHAPE, name, graphs))
        if time.perf_counter() > give_up:
            break
    return min(seconds, key=lambda name: statistics.median(seconds[name]))


def warm_up(classifier: Classifier) -> None:
    """Lets the first forward of each probe shape set up what it sets up."""
    for shape in PROBE_SHAPES:
        _forward_seconds(classifier, shape)


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
    classifier: Classifier,
    shape: tuple[int, int],
    schedule: Schedule | None = None,
    graphs: Graphs = NO_GRAPHS,
) -> float:
    """One forward over random tokens of that shape, (B, T); T is the window's at most."""
    device = classifier.head.weight.device
    B, T = shape
    T = min(T, classifier.config.max_length or T)
    input_ids = torch.randint(classifier.embedding.vocab_size, (B, T), device=device)
    attention_mask = torch.ones_like(input_ids, dtype=torch.bool)
    began = time.perf_counter()
    forward(classifier, graphs, input_ids, attention_mask, schedule)
    return time.perf_counter() - began


def capture(classifier: Classifier) -> Graphs:
    """Graphs of each schedule's forward, where there is a GPU and they win."""
    captured: dict[Schedule | None, CapturedForward] = {}
    for schedule in classifier.encoder.schedules or (None,):
        try:
            forwards = capture_where_it_wins(classifier, schedule)
        except RuntimeError:
            # A graph is a gain, not a need: without it the same kernels start one by one.
            logger.warning("no CUDA graphs of this model's forward", exc_info=True)
            continue
        if forwards:
            captured[schedule] = forwards
    return captured

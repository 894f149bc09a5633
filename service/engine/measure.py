"""What forwards cost on this device, measured: at load for the batcher, at length for the bench."""

from __future__ import annotations

import logging
import math
import random
import time
from collections.abc import Iterable, Sequence

import torch

from service.engine.compute import Compute
from service.engine.forward_cost import Observations

logger = logging.getLogger("lockstep.measure")

Shape = tuple[int, int]  # (B, T)

# The fewest shapes that tell the terms apart: a start, a step, a token and a pair of them.
LOAD_SHAPES: dict[str, tuple[Shape, ...]] = {
    "cpu": ((1, 16), (1, 128), (16, 16), (1, 512)),
    "cuda": ((1, 16), (1, 256), (256, 16), (128, 256)),
}
LOAD_ROUNDS = 3
LOAD_SECONDS = 0.1  # for one model and schedule: a busy machine must not delay the start


def measure(
    compute: Compute,
    model: str,
    schedule: str | None,
    shapes: Iterable[Shape],
    rounds: int,
    give_up_seconds: float = math.inf,
) -> dict[Shape, float]:
    """The least of several times for each shape: whatever else the machine does only adds.

    Args:
        compute: holds the model.
        model, schedule: what to run.
        shapes: (B, T) of the forwards; T is cut to the model's window.
        rounds: through the shapes in turn, so that no busy moment falls on one alone.
        give_up_seconds: after which no further round begins.
    """
    classifier = compute.models[model].classifier
    window = classifier.config.max_length or math.inf
    least = {(rows, int(min(length, window))): math.inf for rows, length in shapes}
    generator = random.Random(0)  # noqa: S311 - tokens, not secrets
    vocabulary = range(classifier.embedding.vocab_size)
    windows = {
        (rows, length): [generator.choices(vocabulary, k=length) for _ in range(rows)]
        for rows, length in least
    }
    for shape in least:
        compute.run(model, schedule, windows[shape])  # the first of a shape sets things up
    began = time.perf_counter()
    for _ in range(rounds):
        for shape in least:
            start = time.perf_counter()
            compute.run(model, schedule, windows[shape])
            least[shape] = min(least[shape], time.perf_counter() - start)
        if time.perf_counter() - began > give_up_seconds:
            break
    return least


def observe_at_load(compute: Compute, padded_tokens: int) -> Observations:
    """A few forwards of each model under each schedule: what is known before any traffic.

    Args:
        compute: holds the models.
        padded_tokens: the bound of a batch, kept here too: memory may be why it was set.
    """
    shapes = [within(shape, padded_tokens) for shape in LOAD_SHAPES[compute.device.type]]
    observations = Observations(compute.unpadded)
    for model, loaded in compute.models.items():
        schedules: Sequence[str | None] = loaded.classifier.encoder.schedules or (None,)
        for schedule in schedules:
            try:
                measured = measure(compute, model, schedule, shapes, LOAD_ROUNDS, LOAD_SECONDS)
            except (FloatingPointError, torch.OutOfMemoryError) as error:
                logger.warning("what a forward of %s costs isn't known: %s", model, error)
                continue
            for (rows, length), seconds in measured.items():
                observations.add((model, schedule), [length] * rows, seconds)
    return observations


def within(shape: Shape, padded_tokens: int) -> Shape:
    """As many of its rows as the bound allows, and one where it allows none."""
    rows, length = shape
    return max(1, min(rows, padded_tokens // length)), length

"""How long a call takes: many calls in turn, so that a machine's drift hits them all alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import torch

from models.device import synchronize

Key = TypeVar("Key", bound=Hashable)

ROUNDS = 8  # each call's share of the time is cut into so many turns
FEWEST = 3  # samples of a call, unless they take too long
TOO_LONG = 2.0  # seconds of one call's samples


@dataclass(frozen=True, slots=True)
class Times:
    """What calls took, in seconds.

    Attributes:
        samples: calls that were timed.
        least: the shortest: whatever else the machine does only adds.
        median: on a GPU between two events round the call, elsewhere by the clock; as all but
            ``wall``.
        first_quartile: of the same.
        third_quartile: of the same.
        wall: median by the clock until the device was done: on a GPU what a caller waits for.
    """

    samples: int
    least: float
    median: float
    first_quartile: float
    third_quartile: float
    wall: float


def time_in_turn(
    calls: Mapping[Key, Callable[[], object]], seconds: float, device: torch.device
) -> dict[Key, Times]:
    """Times each call for ``seconds``, in rounds of rotated order.

    The first call of each isn't counted: it sets things up. Slow ones are timed three times, the
    slowest once.

    Args:
        calls: by name; what they compute runs on ``device``.
        seconds: for each call, all rounds together.
        device: where.
    """
    taken: dict[Key, list[tuple[float, float]]] = {key: [] for key in calls}
    spent = dict.fromkeys(calls, 0.0)
    for call in calls.values():
        once(call, device)
    order = list(calls)
    for turn in range(ROUNDS):
        share = seconds * (turn + 1) / ROUNDS
        for key in order:
            few = len(taken[key]) < min(FEWEST, turn + 1) and spent[key] < TOO_LONG
            while few or spent[key] < share:
                sample = once(calls[key], device)
                taken[key].append(sample)
                spent[key] += sample[1]
                few = False
        order = order[1:] + order[:1]
    return {key: summary(samples) for key, samples in taken.items()}


def once(call: Callable[[], object], device: torch.device) -> tuple[float, float]:
    """Seconds on the device, and by the clock until it was done; the same on a CPU."""
    if device.type != "cuda":
        began = time.perf_counter()
        call()
        seconds = time.perf_counter() - began
        return seconds, seconds
    started = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
    ended = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
    synchronize(device)
    began = time.perf_counter()
    started.record(torch.cuda.current_stream(device))
    call()
    ended.record(torch.cuda.current_stream(device))
    synchronize(device)
    wall = time.perf_counter() - began
    return started.elapsed_time(ended) / 1e3, wall


def summary(samples: list[tuple[float, float]]) -> Times:
    """The median and its quartiles, of one sample or more."""
    seconds = sorted(sample[0] for sample in samples)
    first, median, third = (
        statistics.quantiles(seconds, n=4, method="inclusive") if len(seconds) > 1 else seconds * 3
    )
    wall = statistics.median(sample[1] for sample in samples)
    return Times(len(samples), seconds[0], median, first, third, wall)

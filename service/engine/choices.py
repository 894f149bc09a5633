"""How a worker runs a model, chosen by trying: dtype, layout, schedule, what becomes a graph."""

from __future__ import annotations

import copy
import logging
import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import product
from typing import TypeVar

import torch

from models import predict
from models.base import Classifier, Schedule
from models.captured import CapturedForward, capture_where_it_wins
from models.predict import Batch, Padded
from models.shared_weights import Hold, own

logger = logging.getLogger("lockstep.compute")

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
Lengths = tuple[int, ...]  # tokens of each text of a batch
# Of the forwards that choose a dtype and a layout. Texts come in many lengths, and a layout may be
# faster because it computes no padding. A GPU takes as long to start the kernels of a small forward
# in either format: what tells them apart is one that fills it.
PROBES: Mapping[str, Sequence[Lengths]] = {
    "cpu": ((32,), tuple(range(8, 72, 8))),
    "cuda": ((32,), (64,) * 8, (256,) * 32),
}
PROBE_REPEATS = 5
PROBE_SECONDS = 0.1  # for one of them: a busy machine must not delay the start
TRIED: Lengths = (8,)  # of a forward that tells whether there is such a layout
UNDIVIDED: Lengths = (64,) * 8  # of the forwards that tell whether they are better not side by side
SCHEDULE: Lengths = (128,)  # of the forwards that choose a schedule: a review, alone
THREADS: Lengths = (64,)  # of the forwards that choose how many threads
THREADS_ROUNDS = 4
THREADS_SECONDS = 1.0  # after which no further round begins, past the second
THREADS_WORTH = 1.05
# What isn't the plain way must take at most this share of its time: bfloat16, which costs digits,
# of float32's; a forward with every core, which another's would disturb, of that of those beside.
WORTHWHILE = 0.9

Way = TypeVar("Way")
Graphs = Mapping[Schedule | None, CapturedForward]  # of forwards, by schedule
NO_GRAPHS: Graphs = {}


def forward(
    classifier: Classifier, graphs: Graphs, batch: Batch, schedule: Schedule | None
) -> list[list[float]]:
    """One forward, by a graph where one holds such a batch; logits on the host, (B, C)."""
    captured = graphs.get(schedule)
    if isinstance(batch, Padded) and captured and captured.bucket(*batch.input_ids.shape):
        return captured.run(*batch)
    return predict.run(classifier, batch, schedule)


def settle(classifier: Classifier, wanted: str, hold: Hold = own) -> tuple[str, bool]:
    """Puts a classifier into the fastest form on this device, by trying copies of it.

    Every form that there is runs in turn, so that what slows the machine meets all alike.

    Args:
        classifier: in float32.
        wanted: one of ``DTYPES``, or ``auto``.
        hold: where the weights of that form lie.

    Returns:
        The dtype, and whether the weights were packed.
    """
    on_cpu = classifier.head.weight.device.type == "cpu"
    dtypes = tuple(DTYPES) if wanted == "auto" else (wanted,)
    forms = list(product(dtypes, (True, False) if on_cpu else (False,)))
    if len(forms) == 1:
        put_into(classifier, *forms[0], hold)
        return forms[0]
    copies = {form: copied for form in forms if (copied := _copy(classifier, *form)) is not None}
    seconds = dict(zip(copies, _seconds(list(copies.values())), strict=True))
    best = {
        dtype: min((form for form in seconds if form[0] == dtype), key=seconds.__getitem__)
        for dtype in dtypes
    }
    dtype = dtypes[0]
    if len(dtypes) > 1:
        float32, bfloat16 = (seconds[best[name]] for name in ("float32", "bfloat16"))
        dtype = "bfloat16" if bfloat16 < WORTHWHILE * float32 else "float32"
    put_into(classifier, *best[dtype], hold)
    return best[dtype]


def put_into(classifier: Classifier, dtype: str, packed: bool, hold: Hold = own) -> None:
    """A form that was chosen. Args as ``settle`` takes and returns them."""
    classifier.cast(DTYPES[dtype])
    if packed:
        classifier.pack(hold)


def _copy(classifier: Classifier, dtype: str, packed: bool) -> Classifier | None:
    """As it would be served; None where this processor can't run it so."""
    shared = {id(classifier.embedding): classifier.embedding}
    copied = copy.deepcopy(classifier, shared).cast(DTYPES[dtype])
    if not packed:
        return copied
    try:
        copied.pack()
        _forward_seconds(copied, TRIED)
    except RuntimeError as error:
        logger.info("weights in %s can't be packed here: %s", dtype, error)
        return None
    return copied


def choose_threads(classifiers: Sequence[Classifier], most: int) -> int:
    """Sets torch to the number of threads with which forwards of all the models take least time.

    One text each, in float32 and unpacked: what a form makes of cores is little beside the model.

    Tried are ``most``, half of it, a fourth, … 1. Of those within ``THREADS_WORTH`` of the fastest
    the fewest are taken: what a forward gains little by, others need.
    """
    counts = [most]
    while counts[-1] > 1:
        counts.append(counts[-1] // 2)
    if len(counts) == 1:
        return most
    least = dict.fromkeys(counts, math.inf)
    give_up = time.perf_counter() + THREADS_SECONDS
    for turn in range(THREADS_ROUNDS):
        for count in counts:
            torch.set_num_threads(count)
            seconds = sum(_forward_seconds(classifier, THREADS) for classifier in classifiers)
            if turn:  # the first sets things up
                least[count] = min(least[count], seconds)
        if turn and time.perf_counter() > give_up:
            break
    enough = THREADS_WORTH * min(least.values())
    chosen = min(count for count, seconds in least.items() if seconds <= enough)
    torch.set_num_threads(chosen)
    return chosen


def runs_undivided(
    classifier: Classifier, schedule: Schedule | None, threads: int, share: int, workers: int
) -> bool:
    """Whether forwards one by one get more done than side by side, each with its share of cores.

    Most don't: threads wait for one another at every layer. A recurrence does whose weights, all
    read at every step, are too large for the cache of one core, and not for those of several.

    Args:
        classifier: as it will be served.
        schedule: likewise.
        threads: of a forward that has the machine to itself; what torch is set to, then and after.
        share: threads of one that doesn't.
        workers: so many side by side.
    """
    if share >= threads:
        return False

    def seconds(count: int) -> float:
        torch.set_num_threads(count)
        return _forward_seconds(classifier, UNDIVIDED, schedule)

    taken = _in_turn((threads, share), seconds)
    torch.set_num_threads(threads)
    alone, beside = map(min, taken)
    return alone * workers < WORTHWHILE * beside


def choose_schedule(classifier: Classifier, graphs: Graphs) -> Schedule | None:
    """The fastest order to run the encoder in, by trying each in turn; None where there is one."""
    schedules = classifier.encoder.schedules
    if not schedules:
        return None
    taken = _in_turn(schedules, lambda name: _forward_seconds(classifier, SCHEDULE, name, graphs))
    typical = dict(zip(schedules, map(statistics.median, taken), strict=True))
    return min(typical, key=typical.__getitem__)


def _in_turn(ways: Sequence[Way], seconds: Callable[[Way], float]) -> list[list[float]]:
    """What forwards took each way, a few rounds of them; fewer where they are slow."""
    for way in ways:
        seconds(way)  # the first sets things up
    taken: list[list[float]] = [[] for _ in ways]
    give_up = time.perf_counter() + PROBE_SECONDS * len(ways)
    for _ in range(PROBE_REPEATS):
        for way, of_way in zip(ways, taken, strict=True):
            of_way.append(seconds(way))
        if time.perf_counter() > give_up:
            break
    return taken


def warm_up(classifier: Classifier) -> None:
    """Lets the first forward of each probe set up what it sets up."""
    for lengths in PROBES[classifier.head.weight.device.type]:
        _forward_seconds(classifier, lengths)


def _seconds(classifiers: Sequence[Classifier]) -> list[float]:
    """The best of a few forwards of each probe, summed, of each; few where they are slow."""
    totals = [0.0] * len(classifiers)
    for lengths in PROBES[classifiers[0].head.weight.device.type]:
        first = [_forward_seconds(classifier, lengths) for classifier in classifiers]
        taken = [[seconds] if seconds > PROBE_SECONDS else [] for seconds in first]
        # Of the others the first sets things up, which would count.
        again = [index for index, seconds in enumerate(taken) if not seconds]
        give_up = time.perf_counter() + PROBE_SECONDS * len(again)
        for _ in range(PROBE_REPEATS):
            for index in again:
                taken[index].append(_forward_seconds(classifiers[index], lengths))
            if time.perf_counter() > give_up:
                break
        totals = [total + min(seconds) for total, seconds in zip(totals, taken, strict=True)]
    return totals


def _forward_seconds(
    classifier: Classifier,
    lengths: Lengths,
    schedule: Schedule | None = None,
    graphs: Graphs = NO_GRAPHS,
) -> float:
    """One forward over texts of random tokens, of such lengths or the window's."""
    most, tokens = classifier.config.max_length or max(lengths), classifier.embedding.vocab_size
    windows = [torch.randint(tokens, (min(length, most),)).tolist() for length in lengths]
    batch = predict.place(classifier, windows, schedule)
    began = time.perf_counter()
    forward(classifier, graphs, batch, schedule)
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

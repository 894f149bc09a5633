"""What a forward's time goes into, by kind of operation, as torch's profiler tells it."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch.autograd.profiler_util import FunctionEvent
from torch.profiler import ProfilerActivity, profile, record_function

from bench.gap import Subject
from models import native, predict

FORWARDS = 20  # profiled, of which the fastest counts: what disturbed the others says nothing
WARM_UP = 3
LABEL = "one forward"
# The first kind that has a part of an operation's name; elementwise operations are the last.
KINDS: dict[str, tuple[str, ...]] = {
    "attention": ("attention",),
    "matrix products": ("linear", "addmm", "::mm", "bmm", "matmul"),
    "recurrence": ("rnn", "lstm", "gru"),
    "convolution": ("conv",),
    "norms": ("norm",),
    "copies": ("cat", "copy", "clone", "index", "embedding", "slice"),
    "element by element": ("add", "mul", "sub", "div", "neg", "gelu", "sigmoid", "tanh", "exp"),
}
# What the library's calls are, which no profiler knows of; and into what one of them divides its
# time, in its own order.
NATIVE = {
    "lockstep_encode": "native encoder",
    "lockstep_layer": "native rnn",
    "lockstep_product": "native matmul",
    "lockstep_embed": "native embedding",
    "lockstep_judge": "native slice",
}
WITHIN = ("matrix products", "attention", "norms", "copies", "waiting for threads")
REST = "the rest"  # other operations; on a CPU also Python, and starting each of them


@dataclass(frozen=True, slots=True)
class Breakdown:
    """Where the time of one forward went.

    Attributes:
        model, dtype, batch, length: what ran, by torch's own loop over its operations.
        seconds: of the fastest forward under the profiler; on a GPU the operations' alone.
        shares: of that time, by kind; they sum to 1.
    """

    model: str
    dtype: str
    batch: int
    length: int
    seconds: float
    shares: dict[str, float]


@torch.inference_mode()
def break_down(subject: Subject, dtype: str, batch: int, length: int) -> Breakdown:
    """Profiles forwards of ``batch`` texts of ``length`` tokens, none of them padding."""
    classifier = subject.classifier
    device = classifier.head.weight.device
    generator = torch.Generator().manual_seed(length)
    ids = torch.randint(classifier.embedding.vocab_size, (batch, length), generator=generator)
    placed = predict.place(classifier, ids.tolist())
    activities = [ProfilerActivity.CPU]
    if device.type == "cuda":
        activities.append(ProfilerActivity.CUDA)
    for _ in range(WARM_UP):
        predict.run(classifier, placed)
    with (
        profile(activities=activities, acc_events=True) as profiled,
        native_calls_named() as within,
    ):
        for _ in range(FORWARDS):
            with record_function(LABEL):
                predict.run(classifier, placed)
    forwards = [shares_of(one, device.type) for one in split(profiled.events() or ())]
    times = min(
        (divided(*one) for one in zip(forwards, within or [()] * len(forwards), strict=True)),
        key=lambda times: sum(times.values()),
    )
    total = sum(times.values())
    shares = {kind: seconds / total for kind, seconds in times.items()}
    return Breakdown(subject.model, dtype, batch, length, total, shares)


@contextmanager
def native_calls_named() -> Iterator[list[Sequence[float]]]:
    """Shows torch's profiler the library's calls for as long as the context lasts.

    Yields:
        Seconds of each encoder's call, as it divides them (``WITHIN``).
    """
    library = native.library()
    functions = {} if library is None else {name: getattr(library, name) for name in NATIVE}
    within: list[Sequence[float]] = []

    def encode(encoder: Any, batch: Any) -> int:
        seconds = (ctypes.c_double * len(WITHIN))()
        batch._obj.seconds = ctypes.addressof(seconds)  # what ``byref`` was given
        done: int = functions["lockstep_encode"](encoder, batch)
        within.append(tuple(seconds))
        return done

    for name, function in functions.items():
        call = encode if name == "lockstep_encode" else function
        setattr(library, name, _named(call, NATIVE[name]))
    try:
        yield within
    finally:
        for name, function in functions.items():
            setattr(library, name, function)


def _named(function: Callable[..., Any], name: str) -> Callable[..., Any]:
    def call(*arguments: Any) -> Any:
        with record_function(name):
            return function(*arguments)

    return call


def divided(times: dict[str, float], within: Sequence[float]) -> dict[str, float]:
    """Seconds by kind, where a native call, one of the rest, divides its own (``WITHIN``)."""
    if not within:
        return times
    found = dict(times)
    for kind, seconds in zip(WITHIN, within, strict=True):
        found[kind] = found.get(kind, 0.0) + seconds
        found[REST] -= seconds
    return found


def split(events: Sequence[Any]) -> list[list[FunctionEvent]]:
    """The operations of each forward, itself the first of them."""
    labels = [event for event in events if event.name == LABEL and on_host(event)]
    return [
        [label, *(one for one in events if on_host(one) and inside(one, label))] for label in labels
    ]


def on_host(event: FunctionEvent) -> bool:
    """An operation, and not the kernel that it started on a GPU, whose time it has too."""
    return bool(event.device_type.name == "CPU")


def inside(event: FunctionEvent, label: FunctionEvent) -> bool:
    """Whether an operation ran within that forward, on its thread."""
    span, outer = event.time_range, label.time_range
    return (
        event is not label
        and event.thread == label.thread
        and outer.start <= span.start
        and span.end <= outer.end
    )


def shares_of(events: Sequence[FunctionEvent], device: str) -> dict[str, float]:
    """Seconds by kind: each operation's own, without those that it called."""
    times = dict.fromkeys([*KINDS, REST], 0.0)
    for event in events:
        microseconds = (
            event.self_cpu_time_total if device == "cpu" else event.self_device_time_total
        )
        times[kind_of(event.name)] += microseconds / 1e6
    return {kind: seconds for kind, seconds in times.items() if seconds > 0}


def kind_of(operation: str) -> str:
    """One of ``KINDS``, or ``REST``."""
    for kind, parts in KINDS.items():
        if any(part in operation for part in parts):
            return kind
    return REST

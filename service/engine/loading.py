"""A worker's models, loaded, and how it introduces itself. Imports torch."""

from __future__ import annotations

import os
from functools import partial

import torch

from models import allocator
from models.checkpoint import PADDED_TOKENS
from models.shared_weights import SharedWeights, own
from service.engine.activity import Activity
from service.engine.batcher import BatchLimits
from service.engine.compute import Compute
from service.engine.decisions import Notes
from service.engine.inbox import Inbox
from service.engine.measure import observe_at_load
from service.engine.options import WorkerOptions, weights_folder
from service.engine.wire import Hello, ServedModel


def load(options: WorkerOptions, device: str) -> tuple[Compute, Inbox]:
    """Every model, and where their work will wait.

    The first worker of a device tries how each model runs fastest; the others take what it found,
    and on a CPU the weights that it laid out.

    Args:
        options: of the worker.
        device: where to compute.
    """
    allocator.keep_freed_memory()
    read = partial(
        Compute,
        options.weights,
        options.models,
        device,
        options.dtype,
        options.threads,
        options.fewer_threads,
        workers=options.workers,
        hold=SharedWeights(weights_folder(options.sockets)) if options.workers > 1 else own,
    )
    notes = Notes(options.sockets, device)
    with notes.turn():
        decided = notes.read()
        if decided is None:
            compute = read()
            notes.leave(compute.decisions)
    if decided is not None:
        # Another answers meanwhile, and must not wait for cores that it thinks are free.
        Activity(options.sockets, options.workers).begin(options.worker)
        compute = read(decided=decided)
    allocator.give_back()  # before forwards are timed, which leave warm what clients' will use
    limits = batch_limits(compute, options.max_batch_tokens)
    return compute, Inbox(limits, observe_at_load(compute, limits.padded_tokens))


def batch_limits(compute: Compute, max_batch_tokens: int | None) -> BatchLimits:
    """What bounds a batch: the setting, else what suits the device."""
    return BatchLimits(max_batch_tokens or PADDED_TOKENS[compute.device.type])


def greeting(compute: Compute, replaces: int) -> Hello:
    """What an API process is told first; ``replaces`` says how many workers died before this."""
    return Hello(
        pid=os.getpid(),
        device=str(compute.device),
        torch=str(torch.__version__),
        models=[
            ServedModel(name, model.dtype, model.load_seconds, model.schedule, model.undivided)
            for name, model in compute.models.items()
        ],
        replaces=replaces,
    )

"""The application and a worker in one process, over models small enough to make in a test."""

from __future__ import annotations

import contextlib
import gc
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import torch
from starlette.testclient import TestClient

from models import folder as folders
from models.tokenizer import Tokenizer
from service.api.app import create_app
from service.api.catalogue import Catalogue
from service.engine.batcher import BatchLimits
from service.engine.compute import Compute
from service.engine.inbox import Inbox
from service.engine.options import socket_path
from service.engine.worker import WorkerAPI, WorkerLoop
from service.settings import Settings
from tests.launch import eventually
from tests.service.http import read_sample
from tests.small import write_model

WAIT_SECONDS = 30


@contextlib.contextmanager
def serving(
    weights: Path,
    names: Sequence[str],
    *,
    prepare: Callable[[Compute], None] = lambda compute: None,
    **settings: Any,
) -> Iterator[TestClient]:
    """A client of a service that is ready, of one small model for each architecture named.

    ``prepare`` may change what the worker loaded.
    """
    for name in names:
        write_model(weights, name, architecture=name)
    compute = Compute(weights, names, "cpu", "float32", torch.get_num_threads())
    prepare(compute)
    options = SimpleNamespace(sockets=weights.parent, replaces=0, workers=1)
    inbox = Inbox(BatchLimits(padded_tokens=64))
    worker = SimpleNamespace(compute=compute, inbox=inbox, options=options, stopping=False)

    def work() -> None:
        with contextlib.suppress(SystemExit):  # how the process that it usually is ends
            WorkerLoop().run(cast(WorkerAPI, worker), "cpu", 0)

    loop = threading.Thread(target=work)
    loop.start()
    catalogue = Catalogue(
        folders.discover(weights), names[0], Tokenizer.load(weights / folders.WORDPIECE)
    )
    sockets = [socket_path(weights.parent, 0)]
    app = create_app(Settings(weights=weights, **settings), catalogue, sockets, weights.parent)
    try:
        with TestClient(app) as client:
            eventually(lambda: client.get("/health/ready").status_code == 200, WAIT_SECONDS)
            yield client
    finally:
        gc.unfreeze()  # the service keeps what is loaded; a test's process goes on without it
        worker.stopping = True
        loop.join(WAIT_SECONDS)
    assert not loop.is_alive(), "the worker goes on"


def sample(client: TestClient, name: str, **labels: str) -> float:
    """One sample of ``/metrics``; 0 where it isn't there."""
    listed = ",".join(f'{key}="{value}"' for key, value in sorted(labels.items()))
    return read_sample(client.get("/metrics").text, f"{name}{{{listed}}}")

"""``lockstep`` with a worker whose forward takes no time: what is left is what the service adds.

    .venv/bin/python scripts/free_forward.py serve [flags of lockstep serve]

Batches are laid out as ever; every logit is 0.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from cli.main import main
from models import predict
from service import server
from service.engine.worker import WorkerAPI
from service.observe.timing import now


class FreeWorker(WorkerAPI):
    """Loads every model, and doesn't use them."""

    def setup(self, device: str) -> None:
        super().setup(device)
        from service.engine.compute import BatchResult  # torch, which only the worker needs

        assert self.compute is not None, "setup makes it"
        models = self.compute.models

        def run(model: str, schedule: str | None, windows: Sequence[Sequence[int]]) -> BatchResult:
            classifier = models[model].classifier
            predict.place(classifier, windows)
            on_device = now()
            logits = [[0.0] * len(classifier.config.labels) for _ in windows]
            return BatchResult(logits, on_device, on_device)

        self.compute.run = run  # type: ignore[method-assign]


if __name__ == "__main__":
    server.WorkerAPI = FreeWorker  # type: ignore[attr-defined]
    sys.exit(main())

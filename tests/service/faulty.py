"""``lockstep`` whose forwards fail on demand: ``python -m tests.service.faulty serve …``.

A word in a text says how, or a variable. Nothing in the service knows of it: a worker process runs
this file before it loads its models, as multiprocessing does with whatever the main program is.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from cli.main import main

HANG, RAISE, NOT_A_NUMBER, NO_MEMORY = "volcano", "tornado", "glacier", "meteor"
NO_API = "FAULTY_API_PROCESSES"  # a variable: no API process gets as far as its first beat
SLOW_SPAWN = "FAULTY_SPAWN"  # a variable: seconds before a child gets what it is started with


def make_forwards_fail() -> None:
    """In this process, from now on."""
    import math
    import time
    from itertools import pairwise

    import tokenizers
    import torch

    from models.folder import WORDPIECE
    from models.line import Line
    from models.predict import Batch
    from models.tokenizer import FILE_NAME
    from service.engine import choices
    from service.settings import SHIPPED_WEIGHTS

    vocabulary = tokenizers.Tokenizer.from_file(str(SHIPPED_WEIGHTS / WORDPIECE / FILE_NAME))
    whole = choices.forward

    def token(word: str) -> int:
        found = vocabulary.token_to_id(word)
        assert found is not None, f"{word} isn't one token"
        return found

    def texts(batch: Batch) -> list[list[int]]:
        if isinstance(batch, Line):
            return [batch.ids[start:end].tolist() for start, end in pairwise(batch.starts)]
        return batch.input_ids.tolist()

    def has(text: list[int], word: str) -> bool:
        # Random tokens, which a model is tried on as it loads, aren't a text.
        return text[0] == token("[CLS]") and token(word) in text

    def forward(
        classifier: object, graphs: object, batch: Batch, schedule: object
    ) -> list[list[float]]:
        read = texts(batch)
        if any(has(text, HANG) for text in read):
            time.sleep(3600)
        if any(has(text, RAISE) for text in read):
            raise RuntimeError("as asked")
        if len(read) > 1 and any(has(text, NO_MEMORY) for text in read):
            raise torch.OutOfMemoryError("as asked")
        logits = whole(classifier, graphs, batch, schedule)  # type: ignore[arg-type]
        return [
            [math.nan] * len(row) if has(text, NOT_A_NUMBER) else row
            for text, row in zip(read, logits, strict=True)
        ]

    choices.forward = forward


def make_api_processes_fail() -> None:
    """Every one that is forked from this process, before it has begun."""
    from service.api import app

    def fail(heartbeat: object) -> None:
        raise RuntimeError("as asked")

    app.beating = fail  # type: ignore[assignment, attr-defined]


def make_spawning_slow(seconds: float) -> None:
    """From the birth of a child on, which waits meanwhile for what this process has for it."""
    import time
    from multiprocessing import util

    spawn = util.spawnv_passfds

    def spawn_slowly(*arguments: Any) -> int:
        pid = spawn(*arguments)
        time.sleep(seconds)
        return pid

    util.spawnv_passfds = spawn_slowly  # type: ignore[assignment]


if __name__ == "__mp_main__":
    make_forwards_fail()
if __name__ == "__main__":
    if NO_API in os.environ:
        make_api_processes_fail()
    if SLOW_SPAWN in os.environ:
        make_spawning_slow(float(os.environ[SLOW_SPAWN]))
    sys.exit(main())

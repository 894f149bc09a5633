"""What native steps save: a recurrence's forward by torch's calls and by one of ours, in turn.

    .venv/bin/python scripts/steps_gain.py lstm gru

A table for docs/performance.md: milliseconds in bfloat16 of packed weights and torch's calls, of
native steps, and their ratio; medians of a thread's CPU time. ``--vectors`` holds both to
AVX512-BF16 where the processor has matrix tiles too.
"""

from __future__ import annotations

import argparse
import copy
import os
import statistics
import sys
import time
from pathlib import Path

WEIGHTS = Path(__file__).resolve().parent.parent / "weights"
BATCHES = {
    "one of 16": [16],
    "one of 256": [256],
    "2 of 32": [32, 32],
    "8 of 32": [32] * 8,
    "32 of 32": [32] * 32,
    "14 of 10 to 43": [10 + 33 * text // 13 for text in range(14)],
    "8 of 150 to 400": [150 + 250 * text // 7 for text in range(8)],
}
ROUNDS = 9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", default=["lstm", "bilstm", "gru", "rnn"])
    parser.add_argument("--vectors", action="store_true", help="without the processor's tiles")
    arguments = parser.parse_args()
    if arguments.vectors:
        os.environ["ONEDNN_MAX_CPU_ISA"] = "AVX512_CORE_BF16"  # read once, when torch is imported
    import torch

    from models import checkpoint, predict, recurrence, steps
    from models import folder as folders
    from models.base import Classifier

    if not steps.can_run(steps.LANES, torch.bfloat16):
        sys.exit("no native steps here: without a C compiler at setup, or bfloat16")
    if arguments.vectors:
        steps.way = lambda: steps.Way.VECTORS

    def forward_seconds(classifiers: list[Classifier], lengths: list[int]) -> list[float]:
        """Median seconds of a forward of each, in turn; the first of each isn't counted."""
        windows = [torch.randint(1000, 20_000, (length,)).tolist() for length in lengths]
        batch = predict.place(classifiers[0], windows)
        taken: list[list[float]] = [[] for _ in classifiers]
        for turn in range(ROUNDS + 1):
            for classifier, seconds in zip(classifiers, taken, strict=True):
                began = time.thread_time()
                predict.run(classifier, *batch)
                if turn:
                    seconds.append(time.thread_time() - began)
        return [statistics.median(seconds) for seconds in taken]

    torch.set_num_threads(1)  # or part of the time would be another thread's
    embedding = checkpoint.load_embedding(WEIGHTS / folders.WORDPIECE, torch.float16)
    print("| model | " + " | ".join(BATCHES) + " |")
    print("|---" * (1 + len(BATCHES)) + "|")
    for name in arguments.models:
        classifier = checkpoint.load(folders.read(WEIGHTS / name), embedding)
        torchs, ours = (
            copy.deepcopy(classifier, {id(embedding): embedding}).cast(torch.bfloat16)
            for _ in range(2)
        )
        ours.pack()
        recurrence.can_run = lambda *_: False
        torchs.pack()
        recurrence.can_run = steps.can_run
        cells = []
        for lengths in BATCHES.values():
            before, after = forward_seconds([torchs, ours], lengths)
            cells.append(f"{before * 1e3:.2f} → {after * 1e3:.2f} ({after / before:.2f})")
        print(f"| `{name}` | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()

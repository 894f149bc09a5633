"""What native calls save: a forward by torch's calls and by those of ours, in turn.

    .venv/bin/python scripts/native_gain.py lstm minilm

A table for docs/performance.md: milliseconds in bfloat16 of packed weights and torch's calls, of
native ones, and their ratio; medians of a thread's CPU time. ``--vectors`` holds both to
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
MODELS = ["lstm", "bilstm", "gru", "rnn", "minilm", "transformer"]
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
    parser.add_argument("models", nargs="*", default=MODELS)
    parser.add_argument("--vectors", action="store_true", help="without the processor's tiles")
    arguments = parser.parse_args()
    if arguments.vectors:
        os.environ["ONEDNN_MAX_CPU_ISA"] = "AVX512_CORE_BF16"  # read once, when torch is imported
    import torch

    from models import checkpoint, native, predict
    from models import folder as folders
    from models.base import Classifier
    from models.native import Way

    ours = min(native.way(), Way.VECTORS) if arguments.vectors else native.way()
    if ours is Way.NONE:
        sys.exit("nothing is native here: without a C compiler at setup, or bfloat16")

    def forward_seconds(classifiers: dict[Way, Classifier], lengths: list[int]) -> list[float]:
        """Median seconds of a forward of each, in turn; the first of each isn't counted."""
        windows = [torch.randint(1000, 20_000, (length,)).tolist() for length in lengths]
        taken: dict[Way, list[float]] = {way: [] for way in classifiers}
        for turn in range(ROUNDS + 1):
            for way, classifier in classifiers.items():
                native.way = lambda way=way: way
                batch = predict.place(classifier, windows)
                began = time.thread_time()
                predict.run(classifier, batch)
                if turn:
                    taken[way].append(time.thread_time() - began)
        return [statistics.median(seconds) for seconds in taken.values()]

    torch.set_num_threads(1)  # or part of the time would be another thread's
    embedding = checkpoint.load_embedding(WEIGHTS / folders.WORDPIECE, torch.float16)
    print("| model | " + " | ".join(BATCHES) + " |")
    print("|---" * (1 + len(BATCHES)) + "|")
    for name in arguments.models:
        loaded = checkpoint.load(folders.read(WEIGHTS / name), embedding)
        classifiers = {}
        for way in (Way.NONE, ours):
            native.way = lambda way=way: way
            copied = copy.deepcopy(loaded, {id(embedding): embedding})
            classifiers[way] = copied.cast(torch.bfloat16).pack()
        cells = []
        for lengths in BATCHES.values():
            before, after = forward_seconds(classifiers, lengths)
            cells.append(f"{before * 1e3:.2f} → {after * 1e3:.2f} ({after / before:.2f})")
        print(f"| `{name}` | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()

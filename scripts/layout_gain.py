"""What rows of their own lengths save: a forward over a batch padded and laid out, in turn.

    .venv/bin/python scripts/layout_gain.py minilm transformer

A table for docs/performance.md: milliseconds of packed weights padded, laid out, and their ratio,
all by torch's calls; medians of a thread's CPU time. What is padded is as long as the service's
batches are.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import time
from pathlib import Path

import torch

from models import checkpoint, native, predict
from models import folder as folders
from models.base import Classifier

WEIGHTS = Path(__file__).resolve().parent.parent / "weights"
BATCHES = {
    "one of 30": [30],
    "8 of 20 to 32": [20 + 12 * text // 7 for text in range(8)],
    "40 of 26": [26] * 40,
    "40 of 10 to 42": [10 + 32 * text // 39 for text in range(40)],
    "16 of 8 to 64": [8 + 56 * text // 15 for text in range(16)],
    "8 of 150 to 400": [150 + 250 * text // 7 for text in range(8)],
}
ROUNDS = 9


def forward_seconds(classifier: Classifier, lengths: list[int]) -> list[float]:
    """Median seconds of a forward padded and laid out; the first of each isn't counted."""
    windows = [torch.randint(1000, 20_000, (length,)).tolist() for length in lengths]
    batch = predict.place(classifier, windows)
    taken: dict[bool, list[float]] = {False: [], True: []}
    for turn in range(ROUNDS + 1):
        for laid_out, seconds in taken.items():
            classifier.encoder.share_rows = laid_out
            began = time.thread_time()
            predict.run(classifier, batch)
            if turn:
                seconds.append(time.thread_time() - began)
    return [statistics.median(seconds) for seconds in taken.values()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", default=["minilm", "transformer"])
    native.way = lambda: native.Way.NONE  # or texts would lie in no rows
    torch.set_num_threads(1)  # or part of the time would be another thread's
    embedding = checkpoint.load_embedding(WEIGHTS / folders.WORDPIECE, torch.float16)
    print("| model | dtype | " + " | ".join(BATCHES) + " |")
    print("|---" * (2 + len(BATCHES)) + "|")
    for name in parser.parse_args().models:
        classifier = checkpoint.load(folders.read(WEIGHTS / name), embedding)
        for dtype in (torch.bfloat16, torch.float32):
            form = copy.deepcopy(classifier, {id(embedding): embedding}).cast(dtype).pack()
            cells = []
            for lengths in BATCHES.values():
                padded, laid_out = forward_seconds(form, lengths)
                ratio = laid_out / padded
                cells.append(f"{padded * 1e3:.1f} → {laid_out * 1e3:.1f} ({ratio:.2f})")
            print(f"| `{name}` | {str(dtype)[6:]} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()

"""What packed weights save: each model's forward with and without, in turn, in a thread's CPU time.

    .venv/bin/python scripts/packed_gain.py lstm gru minilm

A table for docs/performance.md: milliseconds as torch has the weights, packed, and their ratio;
medians. CPU time, so that a busy machine disturbs both alike and neither much.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import time
from pathlib import Path

import torch

from models import checkpoint, predict
from models import folder as folders
from models.base import Classifier

WEIGHTS = Path(__file__).resolve().parent.parent / "weights"
SHAPES = ((1, 16), (1, 64), (1, 256), (8, 32), (8, 128))  # (B, T)
ROUNDS = 15


def forward_seconds(classifiers: list[Classifier], shape: tuple[int, int]) -> list[float]:
    """Median seconds of a forward of each, in turn; the first isn't counted."""
    B, T = shape
    window = classifiers[0].config.max_length
    windows = torch.randint(1000, 20_000, (B, min(T, window or T))).tolist()
    taken: list[list[float]] = [[] for _ in classifiers]
    for turn in range(ROUNDS + 1):
        for classifier, seconds in zip(classifiers, taken, strict=True):
            batch = predict.place(classifier, windows)
            began = time.thread_time()
            predict.run(classifier, batch)
            if turn:
                seconds.append(time.thread_time() - began)
    return [statistics.median(seconds) for seconds in taken]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", help="names of models (all)")
    names = parser.parse_args().models or sorted(folders.discover(WEIGHTS))
    torch.set_num_threads(1)  # or part of the time would be another thread's
    embedding = checkpoint.load_embedding(WEIGHTS / folders.WORDPIECE, torch.float16)
    print("| model | dtype | " + " | ".join(f"{B} x {T}" for B, T in SHAPES) + " |")
    print("|---" * (2 + len(SHAPES)) + "|")
    for name in names:
        classifier = checkpoint.load(folders.read(WEIGHTS / name), embedding)
        for dtype in (torch.float32, torch.bfloat16):
            forms = [copy.deepcopy(classifier, {id(embedding): embedding}) for _ in range(2)]
            plain, packed = (form.cast(dtype) for form in forms)
            packed.pack()
            cells = []
            for shape in SHAPES:
                before, after = forward_seconds([plain, packed], shape)
                cells.append(f"{before * 1e3:.2f} → {after * 1e3:.2f} ({after / before:.2f})")
            print(f"| `{name}` | {str(dtype)[6:]} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()

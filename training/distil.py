"""Learning from a teacher's logits rather than from labels (arXiv 1903.12136).

The teacher reads every example once; what it said is kept on disk under a name made of the teacher
and the examples, so a second student, or a second try, doesn't ask again.
"""

from __future__ import annotations

import hashlib
import os
from array import array
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from models.folder import ModelFolder
from models.predict import Predictor
from training.examples import Example

CHUNK = 8192  # examples between two saves: a long labelling can be taken up again


def teacher_logits(
    teacher: Predictor, folder: ModelFolder, source: Sequence[Example], cache: Path
) -> Tensor:
    """What the teacher says of each example: (N, C) float32, uncalibrated.

    Args:
        teacher: ready to run.
        folder: the teacher's checkpoint, which names it in the cache.
        source: N examples.
        cache: a folder for what was computed before.
    """
    cache.mkdir(parents=True, exist_ok=True)
    name = f"{folder.sha256['weights']} {teacher.classifier.head.weight.dtype}"
    parts = []
    for begin in range(0, len(source), CHUNK):
        chunk = source[begin : begin + CHUNK]
        path = cache / f"{_fingerprint(name, chunk)}.safetensors"
        if not path.exists():
            logits = torch.tensor(teacher.logits([example.ids for example in chunk]))
            # Students side by side may ask the same of one teacher: each writes a file of its own.
            partial = path.with_suffix(f".{os.getpid()}.partial")
            save_file({"logits": logits}, partial)
            partial.replace(path)
            print(f"teacher: {begin + len(chunk):,} of {len(source):,} examples", flush=True)
        parts.append(load_file(path)["logits"])
    return torch.cat(parts)


def _fingerprint(teacher: str, chunk: Sequence[Example]) -> str:
    digest = hashlib.sha256(teacher.encode())
    for example in chunk:
        digest.update(array("i", example.ids).tobytes() + b"|")
    return digest.hexdigest()[:32]

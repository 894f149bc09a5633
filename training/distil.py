"""Learning from a teacher's logits rather than from labels (arXiv 1903.12136).

The vector that it pools a text into tells more than two logits do: a student that learns to make
it as well gets a hint of how the teacher came to them (arXiv 1412.6550, section 2.2).

The teacher reads every example once; what it said is kept on disk under a name made of the teacher
and the examples, so a second student, or a second try, doesn't ask again.
"""

from __future__ import annotations

import hashlib
import os
from array import array
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from models.folder import ModelFolder
from models.predict import Predictor, pad
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

    def say(chunk: Sequence[Example]) -> Tensor:
        return torch.tensor(teacher.logits([example.ids for example in chunk]))

    return _kept(say, "logits", _name(teacher, folder), source, cache)


def teacher_vectors(
    teacher: Predictor, folder: ModelFolder, source: Sequence[Example], cache: Path
) -> Tensor:
    """What the teacher pools each example into: (N, P) float16. Args as ``teacher_logits``."""

    @torch.inference_mode()
    def say(chunk: Sequence[Example]) -> Tensor:
        vectors = torch.empty(len(chunk), teacher.classifier.head.in_features, dtype=torch.float16)
        classifier = teacher.classifier
        for positions, windows in teacher.batches([example.ids for example in chunk]):
            padded = pad(classifier, windows, padding_id=teacher.tokenizer.padding_id)
            vectors[positions] = classifier.summarize(*padded).half().cpu()
        return vectors

    return _kept(say, "vectors", _name(teacher, folder) + " vectors", source, cache)


def _kept(
    say: Callable[[Sequence[Example]], Tensor],
    kind: str,
    name: str,
    source: Sequence[Example],
    cache: Path,
) -> Tensor:
    """What ``say`` says of the examples, or said before under this name."""
    cache.mkdir(parents=True, exist_ok=True)
    parts = []
    for begin in range(0, len(source), CHUNK):
        chunk = source[begin : begin + CHUNK]
        path = cache / f"{_fingerprint(name, chunk)}.safetensors"
        if not path.exists():
            # Students side by side may ask the same of one teacher: each writes a file of its own.
            partial = path.with_suffix(f".{os.getpid()}.partial")
            save_file({kind: say(chunk)}, partial)
            partial.replace(path)
            print(f"teacher: {begin + len(chunk):,} of {len(source):,} examples", flush=True)
        parts.append(load_file(path)[kind])
    return torch.cat(parts)


def _name(teacher: Predictor, folder: ModelFolder) -> str:
    return f"{folder.sha256['weights']} {teacher.classifier.head.weight.dtype}"


def _fingerprint(teacher: str, chunk: Sequence[Example]) -> str:
    digest = hashlib.sha256(teacher.encode())
    for example in chunk:
        digest.update(array("i", example.ids).tobytes() + b"|")
    return digest.hexdigest()[:32]

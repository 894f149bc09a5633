"""Which number format trains faster here: asked of the machine, not assumed."""

from __future__ import annotations

import time

import torch
from torch import nn

from models import registry
from models.embedding import FrozenEmbedding

LIGHTNING_NAMES = {torch.float32: "32-true", torch.bfloat16: "bf16-mixed"}


def choose_precision(architecture: str, wanted: str) -> torch.dtype:
    """``wanted`` by name; ``auto`` times a training step in each format and takes the faster.

    bfloat16 wins on a GPU and on a CPU with matrix units (AMX). On a CPU that has only bfloat16
    dot products it was seen to be half as fast as float32. On a GPU torch's recurrences stay in
    float32 (ten digits of it, by tensor cores): autocast runs cuDNN's in float16 whatever it is
    asked for, in which their gradients vanish.
    """
    if wanted != "auto":
        return {"float32": torch.float32, "bfloat16": torch.bfloat16}[wanted]
    if torch.cuda.is_available():
        return torch.float32 if _is_recurrence(architecture) else torch.bfloat16
    seconds = {
        dtype: _step_seconds(architecture, dtype is torch.bfloat16) for dtype in LIGHTNING_NAMES
    }
    return min(seconds, key=seconds.__getitem__)


def _is_recurrence(architecture: str) -> bool:
    config = registry.find(architecture).config()
    with torch.device("meta"):
        embedding = FrozenEmbedding(torch.empty(1, config.input_size))
        classifier = registry.build(architecture, config, embedding)
    return any(isinstance(module, nn.RNNBase) for module in classifier.modules())


def _step_seconds(architecture: str, bfloat16: bool) -> float:
    config = registry.find(architecture).config()
    embedding = FrozenEmbedding.random(100, config.input_size)
    classifier = registry.build(architecture, config, embedding)
    input_ids = torch.randint(100, (8, 128))
    attention_mask = torch.ones_like(input_ids, dtype=torch.bool)
    best = float("inf")
    for _ in range(3):
        began = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            loss = classifier(input_ids, attention_mask).float().logsumexp(1).sum()
        loss.backward()
        best = min(best, time.perf_counter() - began)
    return best

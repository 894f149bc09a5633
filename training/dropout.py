"""Dropout of whole features: cheap where a random number a position would cost more than the layer.

The same features are dropped at every position of a text (Gal and Ghahramani 2015, arXiv
1512.05287, section 4.2), from each residual branch of a Transformer. It belongs to the training:
what is saved and served knows nothing of it.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from models.base import Classifier
from training.data import DataError

RESIDUAL_BRANCHES = ("attention_output", "contract")


def add_dropout(classifier: Classifier, share: float) -> None:
    """Drops ``share`` of the features of every residual branch while the classifier trains.

    Raises:
        DataError: the architecture has no residual branches.
    """
    if not share:
        return

    def drop(module: nn.Module, arguments: Any, branch: Tensor) -> Tensor:
        if not module.training:
            return branch
        B, _, D = branch.shape
        kept = torch.empty(B, 1, D, dtype=branch.dtype, device=branch.device)
        return branch * kept.bernoulli_(1 - share).div_(1 - share)

    branches = [
        module
        for name, module in classifier.encoder.named_modules()
        if name.rpartition(".")[2] in RESIDUAL_BRANCHES
    ]
    if not branches:
        raise DataError("--dropout: this architecture has no residual branches to drop from")
    for branch in branches:
        branch.register_forward_hook(drop)

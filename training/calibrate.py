"""Temperature scaling: one number makes scores probabilities (arXiv 1706.04599, section 4.2)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def fit_temperature(logits: Tensor, labels: Tensor) -> float:
    """The temperature that makes held-back labels likeliest.

    Args:
        logits: (N, C) float32.
        labels: (N,) int64.
    """
    # Over a grid of log T: the loss has one minimum, and a grid can't diverge.
    temperatures = torch.logspace(-1, 1, 401)
    losses = [F.cross_entropy(logits / temperature, labels) for temperature in temperatures]
    return float(temperatures[int(torch.stack(losses).argmin())])


def expected_calibration_error(confidences: Tensor, correct: Tensor, bins: int = 15) -> float:
    """Mean gap between confidence and accuracy over bins of equal mass.

    Args:
        confidences: (N,) probability given to the predicted label.
        correct: (N,) bool.
        bins: how many; rows are dealt to them in order of confidence.
    """
    order = confidences.argsort()
    gaps = [
        len(part) * (confidences[part].mean() - correct[part].float().mean()).abs()
        for part in order.tensor_split(min(bins, len(order)))
    ]
    return float(torch.stack(gaps).sum() / len(order))


def calibration_noise(confidences: Tensor, draws: int = 200, seed: int = 0) -> float:
    """The error that a perfectly calibrated model would show on as many rows, by chance alone.

    Args:
        confidences: (N,) probability given to the predicted label.
        draws: how often each row is right or wrong anew, with its own confidence.
        seed: of the draws.
    """
    generator = torch.Generator().manual_seed(seed)
    chances = confidences.expand(draws, -1)
    errors = [
        expected_calibration_error(confidences, correct.bool())
        for correct in torch.bernoulli(chances, generator=generator)
    ]
    return sum(errors) / draws

"""Which number format a run takes: the one asked for, or the one that was faster."""

from __future__ import annotations

import pytest
import torch

from training import precision
from training.precision import LIGHTNING_NAMES, choose_precision


@pytest.mark.parametrize("name", ["float32", "bfloat16"])
def test_a_format_asked_for_is_taken_untimed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(precision, "_step_seconds")
    assert choose_precision("lstm", name) is getattr(torch, name)


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU takes bfloat16 untimed")
@pytest.mark.parametrize(
    ("slower", "faster"), [(torch.float32, torch.bfloat16), (torch.bfloat16, torch.float32)]
)
def test_auto_takes_the_faster(
    slower: torch.dtype, faster: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    def step_seconds(architecture: str, bfloat16: bool) -> float:
        return 2.0 if bfloat16 == (slower is torch.bfloat16) else 1.0

    monkeypatch.setattr(precision, "_step_seconds", step_seconds)
    assert choose_precision("lstm", "auto") is faster


@pytest.mark.usefixtures("weights")  # a small LSTM stands in the registry
@pytest.mark.parametrize("dtype", LIGHTNING_NAMES)
def test_a_step_can_be_timed_in_each_format(dtype: torch.dtype) -> None:
    assert 0 < precision._step_seconds("lstm", dtype is torch.bfloat16) < 60


@pytest.mark.parametrize(
    ("architecture", "dtype"),
    [
        *((name, torch.float32) for name in ("rnn", "gru", "lstm", "bilstm")),
        *((name, torch.bfloat16) for name in ("minilm", "transformer", "mingru", "mamba", "cnn")),
    ],
)
def test_a_gpu_trains_in_bfloat16_what_autocast_doesnt_run_in_float16(
    architecture: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_precision(architecture, "auto") == dtype

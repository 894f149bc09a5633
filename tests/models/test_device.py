"""Where models run, and what is said when they can't."""

from __future__ import annotations

import pytest
import torch

from models.device import describe, resolve_device, synchronize


def test_a_device_by_name_is_that_device() -> None:
    assert resolve_device("cpu") == torch.device("cpu")


def test_auto_takes_a_gpu_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert resolve_device("auto") == torch.device("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert resolve_device("auto") == torch.device("cpu")


def test_a_missing_gpu_is_an_error_with_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(RuntimeError, match=r"cuda:1: this torch .* sees no GPU"):
        resolve_device("cuda:1")


def test_a_device_that_no_model_was_run_on_is_refused() -> None:
    with pytest.raises(RuntimeError, match="--device mps: there are auto, cpu, cuda"):
        resolve_device("mps")


def test_a_cpu_is_described_by_its_threads_and_has_always_finished() -> None:
    assert "CPU" in describe(torch.device("cpu"))
    synchronize(torch.device("cpu"))

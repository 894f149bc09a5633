"""Which worker computes where."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from service.engine import placement
from service.engine.placement import count_gpus, place, share_threads


@pytest.mark.parametrize(
    ("device", "gpus", "workers", "placed"),
    [
        ("auto", 0, None, ["auto"]),
        ("auto", 0, 2, ["auto", "auto"]),
        ("auto", 2, None, ["cuda:0", "cuda:1"]),
        ("auto", 2, 3, ["cuda:0", "cuda:1", "cuda:0"]),
        ("cuda", 2, 1, ["cuda:0"]),
        ("cuda", 0, None, ["cuda"]),  # which the worker refuses, with why
        ("cpu", 2, None, ["cpu"]),
        ("cuda:1", 2, 2, ["cuda:1", "cuda:1"]),
    ],
)
def test_workers_go_round_the_devices(
    monkeypatch: pytest.MonkeyPatch, device: str, gpus: int, workers: int | None, placed: list[str]
) -> None:
    monkeypatch.setattr(placement, "count_gpus", lambda: gpus)
    assert place(device, workers) == placed


@pytest.mark.parametrize(("threads", "workers", "each"), [(8, 2, 4), (2, 3, 1), (7, 2, 3)])
def test_threads_are_shared_out(threads: int, workers: int, each: int) -> None:
    assert share_threads(threads, workers) == each


def test_torch_is_not_asked_where_no_driver_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/nothing")
    assert count_gpus(tmp_path) == 0


def test_torch_is_asked_where_a_driver_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "nvidia0").touch()
    monkeypatch.setattr(placement, "COUNT_GPUS", "print(3)")
    assert count_gpus(tmp_path) == 3
    monkeypatch.setattr(placement, "COUNT_GPUS", "raise SystemExit(1)")
    assert count_gpus(tmp_path) == 0


def test_what_is_asked_is_a_number() -> None:
    command = [sys.executable, "-c", placement.COUNT_GPUS]
    assert int(subprocess.check_output(command, text=True)) >= 0

"""Which worker computes where."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from service.engine import placement
from service.engine.placement import CPU_WORKERS, count_gpus, place, share_cores


@pytest.mark.parametrize(
    ("device", "gpus", "workers", "placed"),
    [
        ("auto", 0, None, ["auto"] * CPU_WORKERS),
        ("auto", 0, 2, ["auto", "auto"]),
        ("auto", 2, None, ["cuda:0", "cuda:1"]),
        ("auto", 2, 3, ["cuda:0", "cuda:1", "cuda:0"]),
        ("cuda", 2, 1, ["cuda:0"]),
        ("cuda", 0, None, ["cuda"]),  # which the worker refuses, with why
        ("cpu", 2, None, ["cpu"] * CPU_WORKERS),
        ("cpu", 2, 1, ["cpu"]),
        ("cuda:1", 2, None, ["cuda:1"]),
        ("cuda:1", 2, 2, ["cuda:1", "cuda:1"]),
    ],
)
def test_workers_go_round_the_devices(
    monkeypatch: pytest.MonkeyPatch, device: str, gpus: int, workers: int | None, placed: list[str]
) -> None:
    monkeypatch.setattr(placement, "count_gpus", lambda: gpus)
    assert place(device, workers, cores=8) == placed


def test_lone_core_has_one_worker_unless_told_otherwise() -> None:
    assert place("cpu", None, cores=1) == ["cpu"]
    assert place("cpu", 2, cores=1) == ["cpu", "cpu"]


@pytest.mark.parametrize(
    ("cores", "computing", "each"), [(8, 1, 8), (8, 2, 4), (2, 3, 1), (7, 2, 3)]
)
def test_cores_are_shared_out_among_those_that_compute(
    cores: int, computing: int, each: int
) -> None:
    assert share_cores(cores, computing) == each


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

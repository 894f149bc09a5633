"""A worker keeps the memory of a forward for the next: the kernel needn't clear it again."""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path

import pytest

from tests.launch import Service
from tests.service.http import post
from tests.service.processes import worker_pids

LONG = "a film " * 250
FAULTS = 1000  # of 4 kB, a forward; 10,000 and more where each gives its memory back

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "mallopt"), reason="not glibc"
)


def faults(pid: int) -> int:
    """Pages that a process was given so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[7])


def test_forward_finds_the_memory_of_the_last(tmp_path: Path) -> None:
    with Service("--models", "mamba", log=tmp_path / "log") as own:
        (worker,) = worker_pids(own)
        for _ in range(3):
            assert post(own, inputs=LONG, model="mamba").status_code == 200
        before = faults(worker)
        for _ in range(4):
            assert post(own, inputs=LONG, model="mamba").status_code == 200
        assert (faults(worker) - before) / 4 < FAULTS
        assert own.stop() == 0

"""Which worker computes where, and with how many threads."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

COUNT_GPUS = "import torch; print(torch.cuda.device_count())"
COUNT_SECONDS = 120  # torch from a slow disk


def place(device: str, workers: int | None) -> list[str]:
    """The device of each worker, as ``models.device.resolve_device`` takes it.

    Args:
        device: as the setting has it; ``auto`` and ``cuda`` mean every GPU there is.
        workers: how many; None for one a device.
    """
    devices = [device]
    if device in ("auto", "cuda"):
        gpus = count_gpus()
        devices = [f"cuda:{index}" for index in range(gpus)] or [device]
    return [devices[worker % len(devices)] for worker in range(workers or len(devices))]


def share_threads(threads: int, workers: int) -> int:
    """Of the threads for forwards, how many each worker gets: one at least."""
    return max(1, threads // workers)


def count_gpus(driver: Path = Path("/dev")) -> int:
    """How many GPUs torch can use; asked of a process of its own, which alone pays for torch.

    Args:
        driver: the folder where a driver shows itself; nobody is asked where it doesn't.
    """
    if not any(driver.glob("nvidia[0-9]*")) and not (driver / "dxg").exists():
        return 0
    command = [sys.executable, "-c", COUNT_GPUS]
    try:
        asked = subprocess.run(  # noqa: S603 - our own words
            command, capture_output=True, text=True, timeout=COUNT_SECONDS
        )
    except subprocess.TimeoutExpired:
        return 0
    return int(asked.stdout) if asked.returncode == 0 else 0

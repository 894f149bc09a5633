"""Which worker computes where, and with how many threads."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

COUNT_GPUS = "import torch; print(torch.cuda.device_count())"
COUNT_SECONDS = 120  # torch from a slow disk
# Two forwards of one thread each get more done than one of two threads, which wait for one another
# at every layer and whenever an API process takes a core; alone, a forward has all cores still.
CPU_WORKERS = 2


def place(device: str, workers: int | None, cores: int) -> list[str]:
    """The device of each worker, as ``models.device.resolve_device`` takes it.

    Args:
        device: as the setting has it; ``auto`` and ``cuda`` mean every GPU there is.
        workers: how many; None for one a GPU, or ``CPU_WORKERS`` that share a CPU.
        cores: that forwards may use on a CPU; no more workers than these unless named.
    """
    devices = [device]
    if device in ("auto", "cuda"):
        gpus = count_gpus()
        devices = [f"cuda:{index}" for index in range(gpus)] or [device]
    if workers is None:
        on_cpu = devices in (["cpu"], ["auto"])
        workers = min(CPU_WORKERS, cores) if on_cpu else len(devices)
    return [devices[worker % len(devices)] for worker in range(workers)]


def share_cores(cores: int, computing: int) -> int:
    """Of a CPU's cores, how many a forward may use beside others: one at least.

    Args:
        cores: for all forwards.
        computing: workers that run one, this one among them.
    """
    return max(1, cores // computing)


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

"""What a measurement ran on, and the most operations a second it could have had there."""

from __future__ import annotations

import platform
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bench.timing import time_in_turn
from models.device import describe

SIZES = {"cpu": (512, 1024, 2048), "cuda": (4096, 8192)}  # n of n x n products; the best one counts
PEAK_SECONDS = 0.3  # for one size by one path


@dataclass(frozen=True, slots=True)
class Peak:
    """The best matrix product there was.

    Attributes:
        flops_per_second: operations a second, 2 a multiply-add.
        path: the way it was computed.
        size: n of the n x n matrices.
    """

    flops_per_second: float
    path: str
    size: int


def describe_hardware(device: torch.device) -> dict[str, Any]:
    """Device, libraries and threads, plain values for JSON."""
    described: dict[str, Any] = {
        "device": describe(device),
        "processor": _processor(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": str(torch.__version__),
    }
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        described |= {
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),  # type: ignore[no-untyped-call]
            "driver": _driver(),
            "compute_capability": f"{properties.major}.{properties.minor}",
            "multiprocessors": properties.multi_processor_count,
            "memory_bytes": properties.total_memory,
            # "tf32" is ten bits of float32's digits: torch lets recurrences have it, unasked.
            "float32_products": _precision(torch.backends.cuda.matmul),
            "float32_recurrences": _precision(torch.backends.cudnn.rnn),
        }
    return described


@torch.inference_mode()
def measure_peak(device: torch.device, dtype: torch.dtype, seconds: float = PEAK_SECONDS) -> Peak:
    """The fastest product of two large matrices, over a few sizes and every path there is."""
    best = Peak(0.0, "", 0)
    for size in SIZES[device.type]:
        calls = products(size, device, dtype)
        for path, times in time_in_turn(calls, seconds, device).items():
            rate = 2 * size**3 / times.least  # a limit: what disturbed it says nothing of it
            if rate > best.flops_per_second:
                best = Peak(rate, path, size)
    return best


def products(
    size: int, device: torch.device, dtype: torch.dtype
) -> dict[str, Callable[[], Tensor]]:
    """The same product of random matrices by each path that torch has on ``device``."""
    left, right = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    paths: dict[str, Callable[[], Tensor]] = {"mm": lambda: left @ right}
    if device.type == "cpu" and torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        # oneDNN's own layout of the weights, which a compiled model would use.
        packed = torch.ops.mkldnn._reorder_linear_weight(right.T.contiguous(), size)
        linear = torch.ops.mkldnn._linear_pointwise
        paths["oneDNN packed"] = lambda: linear(left, packed, None, "none", [], "")
    return paths


def _precision(backend: object) -> str | None:
    return getattr(backend, "fp32_precision", None)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor() or platform.machine()
    found = re.search(r"^model name\s*:\s*(.+)$", lines, re.MULTILINE)
    return found[1] if found else platform.machine()


def _driver() -> str | None:
    try:
        text = Path("/proc/driver/nvidia/version").read_text(encoding="utf-8")
    except OSError:
        return None
    found = re.search(r"\b\d{3,}\.\d+(\.\d+)?\b", text)
    return found[0] if found else None

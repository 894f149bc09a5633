"""Where models run: a GPU where there is one."""

from __future__ import annotations

import platform

import torch


def resolve_device(wanted: str) -> torch.device:
    """``auto`` is a GPU if torch can use one.

    Raises:
        RuntimeError: a GPU was asked for by name and torch can't use it, or it is something else.
    """
    if wanted == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if wanted.startswith("cuda") and not torch.cuda.is_available():
        raise RuntimeError(f"--device {wanted}: this torch ({torch.__version__}) sees no GPU")
    device = torch.device(wanted)
    if device.type not in ("cpu", "cuda"):
        raise RuntimeError(f"--device {wanted}: there are auto, cpu, cuda and cuda:N")
    return device


def describe(device: torch.device) -> str:
    """The hardware by name, for a card or a table."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{platform.machine()} CPU, {torch.get_num_threads()} threads"


def computes_bfloat16(device: torch.device) -> bool:
    """Whether a GPU computes in bfloat16 by itself; of a CPU, whether oneDNN does."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def synchronize(device: torch.device) -> None:
    """Returns when ``device`` has done all it was given; a CPU always has."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)

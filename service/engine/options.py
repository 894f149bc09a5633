"""What a worker is told at its birth, and where it is found."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerOptions:
    """What a worker needs of the settings; crosses to its process."""

    weights: Path
    models: tuple[str, ...]
    dtype: str
    worker: int  # its number, of so many
    workers: int
    threads: int  # of all workers
    fewer_threads: bool  # where those are faster
    max_batch_tokens: int | None
    sockets: Path
    log_level: str
    log_format: str
    replaces: int = 0  # so many that died


def socket_path(folder: Path, worker: int) -> Path:
    """Where worker number ``worker`` listens."""
    return folder / f"worker-{worker}.sock"


def weights_folder(folder: Path) -> Path:
    """Where workers leave each other the weights that they have together."""
    return folder / "shared-weights"


def remove_weights(folder: Path) -> None:
    """Takes away what workers left there, and nothing else; who has it in memory keeps it."""
    shared = weights_folder(folder)
    with suppress(OSError):
        for path in shared.glob("*.weights"):
            path.unlink(missing_ok=True)
        shared.rmdir()


def heartbeat_path(folder: Path, worker: int) -> Path:
    """What worker number ``worker`` beats."""
    return folder / f"worker-{worker}.beat"

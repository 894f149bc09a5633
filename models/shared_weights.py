"""Weights that several processes of one machine hold once: what one has laid out, the others map.

Workers that share a machine's cores share its last cache too. With a copy each they read twice as
much there: side by side their forwards took a thirteenth longer, in twice the memory.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import mmap
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

logger = logging.getLogger("lockstep.weights")

LEAST_BYTES = 1 << 16  # of a tensor that is worth a file
LEAST_ROOM = 1 << 24  # bytes that are left where they lie: others write there too

Hold = Callable[[Tensor], Tensor]  # to where weights lie from now on, not to be written to again


def own(weights: Tensor) -> Tensor:
    """In memory that is this process's alone."""
    return weights.detach().contiguous()


class SharedWeights:
    """Holds weights in memory that processes have together which hold the same.

    Args:
        folder: for files, each named by what is in it; others remove them.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._failed = False

    def __call__(self, weights: Tensor) -> Tensor:
        """The same numbers; in this process's own memory where they are few, or there is no room.

        Args:
            weights: on the CPU.
        """
        held = own(weights)
        if self._failed or held.nbytes < LEAST_BYTES:
            return held
        content = held.flatten().view(torch.uint8).numpy().data
        try:
            memory = self._map(content)
        except (OSError, ValueError) as error:  # ValueError: the file was cut
            logger.warning("weights aren't shared with other workers: %s", error)
            self._failed = True
            return held
        return torch.frombuffer(memory, dtype=held.dtype).view(held.shape)

    def _map(self, content: memoryview) -> mmap.mmap:
        path = self._folder / f"{hashlib.sha256(content).hexdigest()}.weights"
        if not path.exists():
            self._write(path, content)
        with path.open("rb") as file:
            # Pages are the file's, and so everybody's, for as long as nobody writes to them.
            return mmap.mmap(file.fileno(), len(content), access=mmap.ACCESS_COPY)

    def _write(self, path: Path, content: memoryview) -> None:
        """The whole file or none, whoever else writes it."""
        self._folder.mkdir(exist_ok=True)
        if shutil.disk_usage(self._folder).free < len(content) + LEAST_ROOM:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._folder))
        part = path.with_suffix(f".{os.getpid()}.weights")
        try:
            part.write_bytes(content)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)

"""Memory that several processes of the service see."""

from __future__ import annotations

import mmap
import os
from pathlib import Path


def shared_memory(path: Path | None, size: int) -> mmap.mmap:
    """So many bytes, 0 where nobody has written yet.

    Args:
        path: of a file that the processes open; it is made if it isn't there. None for memory that
            a fork shares.
        size: in bytes.

    Raises:
        OSError: the file can't be made; no room for it is one reason.
    """
    if path is None:
        return mmap.mmap(-1, size)
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        # With its room now, or the first write on a full disk would end the process.
        os.posix_fallocate(fd, 0, size)
        return mmap.mmap(fd, size)
    finally:
        os.close(fd)

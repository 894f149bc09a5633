"""Memory that a forward gave back, kept for the next one.

glibc gives large blocks back to the system as they are freed, and the end of its heap; each page of
them is a fault when it is asked for again, cleared by the kernel. On a virtual machine ``mamba``
had 12,700 faults in a forward over 200 tokens, and took twice the time of one that had none. torch
keeps a GPU's memory likewise.
"""

from __future__ import annotations

import ctypes

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # glibc's numbers of them, malloc.h
LARGEST_KEPT = 32 << 20  # bytes; glibc takes no more
NEVER = 1 << 30  # bytes free at the heap's end before it shrinks


def keep_freed_memory() -> bool:
    """From now on this process keeps what it frees, blocks above ``LARGEST_KEPT`` aside.

    Returns:
        False where the C library isn't glibc: it does as it does.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return bool(mallopt(MMAP_THRESHOLD, LARGEST_KEPT) and mallopt(TRIM_THRESHOLD, NEVER))


def give_back() -> None:
    """Hands free memory to the system once: after a load, which needs more than what follows."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)

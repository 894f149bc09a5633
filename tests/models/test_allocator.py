"""Freed memory stays with the process. In processes of their own: the choice is for good."""

from __future__ import annotations

import ctypes
import subprocess
import sys

import pytest

FAULTS = """
import resource
from models import allocator
{before}
def faults():
    began = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    blocks = [bytearray(12 << 20) for _ in range(4)]  # more than the heap keeps at its end
    del blocks
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - began
[faults() for _ in range(3)]
print(faults())
"""
glibc = pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="not glibc")


def again(before: str) -> int:
    """Faults of the fourth time that the same memory is used."""
    command = [sys.executable, "-c", FAULTS.format(before=before)]
    return int(subprocess.run(command, check=True, capture_output=True, timeout=60).stdout)


@glibc
def test_freed_memory_is_used_again_without_a_fault() -> None:
    assert again("") > 1000, "else there is nothing to keep"
    assert again("assert allocator.keep_freed_memory()") < 100


@glibc
def test_freed_memory_can_be_given_back() -> None:
    kept = "allocator.keep_freed_memory()"
    given = "bytearray = lambda size, make=bytearray: allocator.give_back() or make(size)"
    assert again(f"{kept}; {given}") > 1000

"""A disk that is soon full: a tmpfs of a test's own."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.launch import without

ROOM = 1 << 20  # bytes


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder with room for ``ROOM`` bytes."""
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={ROOM}", "tmpfs", str(disk)]
    if os.geteuid() or subprocess.run(command, check=False).returncode:
        without("a small disk needs root and the right to mount")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "--lazy", disk], check=True)

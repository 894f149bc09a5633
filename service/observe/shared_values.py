"""Metrics kept in files that several processes share, on a disk that may be full.

prometheus_client writes through a memory map into files with holes: where the disk has no room for
a page, the kernel ends the process. Here the room is taken first, and a value for which there is
none is not shared, until there is.
"""

from __future__ import annotations

import errno
import logging
import os
from pathlib import Path
from typing import Any

from prometheus_client import mmap_dict, values

logger = logging.getLogger("lockstep.metrics")

ROOM_OF_A_VALUE = 64  # bytes beside its key: length, padding, two doubles


class RoomyDict(mmap_dict.MmapedDict):
    """A file of a process's values that never has a hole where one is written."""

    def __init__(self, filename: str) -> None:
        self._told = False
        self._f = None  # type: ignore[assignment]  # what close() looks at
        self._positions: dict[str, int] = {}
        try:
            _take_room(filename, mmap_dict._INITIAL_MMAP_SIZE)
            super().__init__(filename)  # type: ignore[no-untyped-call]
        except OSError as error:
            Path(filename).unlink(missing_ok=True)  # or the next scrape would read an empty file
            self._tell(error)

    def _init_value(self, key: str) -> None:
        if self._f is None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        size = self._capacity
        while self._used + len(key.encode()) + ROOM_OF_A_VALUE > size:
            size *= 2
        if size > self._capacity:
            _take_room(self._fname, size)
        super()._init_value(key)  # type: ignore[no-untyped-call]

    def read_value(self, key: str) -> Any:
        try:
            return super().read_value(key)  # type: ignore[no-untyped-call]
        except OSError as error:
            self._tell(error)
            return 0.0, 0.0

    def write_value(self, key: str, value: float, timestamp: float) -> None:
        try:
            super().write_value(key, value, timestamp)  # type: ignore[no-untyped-call]
        except OSError as error:
            self._tell(error)

    def _tell(self, error: OSError) -> None:
        if not self._told:
            self._told = True
            logger.error("what this process counts can't be shared: %s", error)


def _take_room(path: str, size: int) -> None:
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        os.posix_fallocate(fd, 0, size)
    finally:
        os.close(fd)


def shared_value() -> type:
    """The class of a metric's value that is kept in a file of its process."""
    values.MmapedDict = RoomyDict  # type: ignore[attr-defined, assignment]
    kind: type = values.MultiProcessValue()  # type: ignore[no-untyped-call]
    return kind

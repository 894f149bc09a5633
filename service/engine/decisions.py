"""What the first worker of a device found out at load, left for the others of that device.

Trying takes most of a start. Workers that load one after another don't disturb what another
measures, run the same forms, and one that is started again is back sooner.
"""

from __future__ import annotations

import fcntl
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

logger = logging.getLogger("lockstep.worker")

PREFIX = "decided-"


@dataclass(frozen=True, slots=True)
class Form:
    """How one model is run: see ``compute.LoadedModel``."""

    dtype: str
    packed: bool
    schedule: Literal["serial", "parallel"] | None
    undivided: bool = False


@dataclass(frozen=True, slots=True)
class Decisions:
    """Of one device.

    Attributes:
        threads: that a forward gains by.
        forms: by model.
    """

    threads: int
    forms: dict[str, Form]


class Notes:
    """Where workers of one device leave what they decided, for as long as the service runs.

    Args:
        folder: that they share; emptied of notes by ``forget`` before the first starts.
        device: as they were told it.
    """

    def __init__(self, folder: Path, device: str) -> None:
        self._path = folder / f"{PREFIX}{device.replace(':', '-')}.json"

    @contextmanager
    def turn(self) -> Iterator[None]:
        """One worker at a time; the kernel ends the turn of one that dies."""
        with self._path.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def read(self) -> Decisions | None:
        """What was left; None where there is nothing that can be read."""
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=Decisions)
        except (OSError, msgspec.DecodeError):
            return None

    def leave(self, decisions: Decisions) -> None:
        """For those that come after. Where there is no room they find out for themselves."""
        written = self._path.with_suffix(".new")
        try:
            written.write_bytes(msgspec.json.encode(decisions))
            written.replace(self._path)
        except OSError as error:
            logger.warning("what was tried at load can't be kept: %s", error)


def forget(folder: Path) -> None:
    """Drops the notes of an earlier service, which may have run elsewhere or with other models."""
    for path in folder.glob(f"{PREFIX}*"):
        path.unlink(missing_ok=True)

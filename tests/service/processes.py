"""The processes of a running service, found by what they hold."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Protocol


class Parent(Protocol):
    """A service by its parent process."""

    @property
    def pid(self) -> int: ...


def processes(service: Parent) -> dict[int, str]:
    """Descendants of the service, by id, each with its command line."""
    listing = subprocess.check_output(["ps", "-ww", "-eo", "pid,ppid,args"], text=True)
    rows = [line.split(maxsplit=2) for line in listing.splitlines()[1:]]
    family, found = {service.pid}, dict[int, str]()
    for pid, parent, command in rows * 3:
        if int(parent) in family:
            family.add(int(pid))
            found[int(pid)] = command
    return found


def worker_pids(service: Parent) -> list[int]:
    """The processes that compute: those that map torch."""
    return _those(service, lambda proc: "libtorch" in (proc / "maps").read_text())


def api_pids(service: Parent) -> list[int]:
    """The processes that answer HTTP: those that run an event loop, without torch."""
    with_torch = set(worker_pids(service))
    found = _those(
        service,
        lambda proc: any("eventpoll" in str(fd.readlink()) for fd in (proc / "fd").iterdir()),
    )
    return [pid for pid in found if pid not in with_torch]


def worker_pid(service: Parent) -> int:
    """The only process that computes."""
    (pid,) = worker_pids(service)
    return pid


def api_pid(service: Parent) -> int:
    """The only process that answers HTTP."""
    (pid,) = api_pids(service)
    return pid


def _those(service: Parent, fits: Callable[[Path], bool]) -> list[int]:
    found = []
    for pid in processes(service):
        try:
            if fits(Path(f"/proc/{pid}")):
                found.append(pid)
        except OSError:  # it ended as we looked
            continue
    return found

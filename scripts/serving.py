"""A service for a script to measure: started, waited for, and ended whatever happens."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
READY_SECONDS = 180  # some 10 s, and many times that where every core is taken
STOP_SECONDS = 60


@contextmanager
def serving(
    port: int,
    *arguments: str,
    root: Path = ROOT,
    program: Sequence[str] = ("-m", "cli.main"),
) -> Iterator[int]:
    """``lockstep serve`` with these flags, ready; gives the id of its process and of its group.

    Args:
        port: where it listens.
        arguments: flags of ``lockstep serve``.
        root: the checkout that it is run from.
        program: what is run there in place of ``lockstep``.

    Raises:
        SystemExit: it ended before it was ready, or wasn't in time.
    """
    command = [sys.executable, *program, "serve", "--port", str(port), *arguments]
    service = subprocess.Popen(
        command,
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        if failure := _failure(service, port):
            raise SystemExit(f"the service {failure}; to see why: {shlex.join(command)}")
        yield service.pid
    finally:
        _stop(service)


def _failure(service: subprocess.Popen[bytes], port: int) -> str | None:
    """Why it can't be asked; None once it is ready."""
    url = f"http://127.0.0.1:{port}/health/ready"
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        if (status := service.poll()) is not None:
            return f"ended with {status}"
        try:
            urllib.request.urlopen(url, timeout=5).close()
        except OSError:  # no connection, a status that isn't 200, or silence
            time.sleep(0.05)
        else:
            return None
    return f"wasn't ready within {READY_SECONDS} s"


def _stop(service: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):  # it ended by itself
        os.killpg(service.pid, signal.SIGTERM)
    try:
        service.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(service.pid, signal.SIGKILL)
        service.wait()

"""A service for a script to measure: started, waited for, and ended whatever happens."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def serving(port: int, *arguments: str) -> Iterator[int]:
    """``lockstep serve`` with these flags, ready; gives the id of its process and of its group."""
    service = subprocess.Popen(
        [sys.executable, "-m", "cli.main", "serve", "--port", str(port), *arguments],
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until_ready(port)
        yield service.pid
    finally:
        os.killpg(service.pid, signal.SIGTERM)
        service.wait(60)


def wait_until_ready(port: int) -> None:
    url = f"http://127.0.0.1:{port}/health/ready"
    while True:
        try:
            urllib.request.urlopen(url, timeout=60).close()
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.05)
        else:
            return

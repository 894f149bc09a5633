"""Starts a real program for a test, waits until it answers, and leaves nothing of it behind."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NoReturn, Self

import httpx
import pytest

from bench.processes import free_port

ROOT = Path(__file__).resolve().parent.parent
LOCKSTEP = (sys.executable, "-m", "cli.main")
LOG_TAIL_CHARACTERS = 4000


class Program:
    """A server run as a child process, in a process group of its own, for the length of a ``with``.

    Attributes:
        base_url: where it answers.
        port: the same, as a number.
        log: the file of what it prints, both streams.
        process: the child itself.
    """

    process: subprocess.Popen[bytes]

    def __init__(
        self,
        command: Sequence[str | Path],
        *,
        port: int,
        log: Path,
        ready: str,
        ready_seconds: float = 90,
        env: Mapping[str, str] | None = None,
    ) -> None:
        """``ready`` is the path that answers 200 once the program serves; ``env`` adds to ours."""
        self.command = [str(word) for word in command]
        self.base_url = f"http://127.0.0.1:{port}"
        self.port = port
        self.log = log
        self.ready = ready
        self.ready_seconds = ready_seconds
        self.env = {**os.environ, **(env or {})}

    @property
    def pid(self) -> int:
        return self.process.pid

    def start(self) -> None:
        """Starts it, returns once it is ready; one that dies or takes too long fails the test."""
        self.launch()
        self.settle()

    def launch(self) -> None:
        """Starts it and doesn't wait, so that others can start meanwhile; ``settle`` comes next."""
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                self.command, cwd=ROOT, env=self.env, stdout=log, stderr=log, start_new_session=True
            )

    def settle(self) -> None:
        """Returns once it is ready; one that dies or takes too long is ended and fails the test."""
        try:
            self._wait_until_ready()
        except BaseException:
            self.stop()
            raise

    def stop(self, seconds: float = 20) -> int:
        """Asks it to end, then ends whatever is left of its group; returns its exit status."""
        self.process.terminate()
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return -signal.SIGKILL
        finally:
            # Usually there is no such group any more: it took its children with it.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
            self.process.wait()

    def tail(self) -> str:
        """The end of its log."""
        return self.log.read_text(errors="replace")[-LOG_TAIL_CHARACTERS:]

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + self.ready_seconds
        while time.monotonic() < deadline:
            if (status := self.process.poll()) is not None:
                pytest.fail(f"{self.command} ended with {status}; its log ends:\n{self.tail()}")
            if self._answers():
                return
            time.sleep(0.1)
        pytest.fail(f"{self.command} wasn't ready in time; its log ends:\n{self.tail()}")

    def _answers(self) -> bool:
        try:
            return httpx.get(self.base_url + self.ready, timeout=5).status_code == 200
        except httpx.TransportError:
            return False

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()


class Service(Program):
    """``lockstep serve`` on a free port: ``Service("--models", "lstm", log=tmp_path / "log")``."""

    def __init__(self, *arguments: str, log: Path, env: Mapping[str, str] | None = None) -> None:
        port = free_port()
        where = ("--host", "127.0.0.1", "--port", str(port))
        # One core each: several run at once, and threads that wait for one another wait long then.
        env = {"LOCKSTEP_THREADS": "1", **(env or {})}
        super().__init__(
            [*LOCKSTEP, "serve", *where, *arguments],
            port=port,
            log=log,
            ready="/health/ready",
            ready_seconds=180,  # some 10 s, and many times that where every core is taken
            env=env,
        )


def printed(
    command: Sequence[str],
    folder: Path = ROOT,
    env: Mapping[str, str] | None = None,
    seconds: float = 120,
) -> str:
    """What a command prints in a folder, without white space round it; it must succeed."""
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        check=False,
        timeout=seconds,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def eventually(condition: Callable[[], bool], seconds: float = 60) -> None:
    """Returns once ``condition()`` is true; fails the test if that takes too long."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it didn't happen in time"
        time.sleep(0.05)


def require(program: str) -> str:
    """Where ``program`` is installed; without it the test is skipped, or failed where CI is set."""
    path = shutil.which(program)
    if path is None:
        without(f"{program} isn't installed: `make parts` installs it")
    return path


def without(reason: str) -> NoReturn:
    """Skips the test for what is missing, or fails it where CI is set."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)

"""Servers for a bench: started, waited for, held still while others run, ended whatever happens."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import os
import random
import shlex
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).resolve().parent.parent
HOST = "127.0.0.1"
READY_SECONDS = 180.0  # some 5 s, and many times that where every core is taken
STOP_SECONDS = 20.0
ASK_SECONDS = 120.0
TAIL_CHARACTERS = 2000
# Below those that Linux gives to connections going out (32768 and up): a client, or whoever waits
# for a server to be ready, would take the port before the server binds it.
PORTS = range(20_000, 30_000)


class ServerError(RuntimeError):
    """A server ended, didn't become ready, or answered what it shouldn't."""


class Server:
    """A program that answers HTTP, in a session of its own.

    Args:
        name: what it is called.
        command: ``{port}`` in a word stands for the port.
        path: where texts are posted to.
        ready: the path that answers 200 once it serves.
    """

    def __init__(self, name: str, command: Sequence[str], *, path: str, ready: str) -> None:
        self.name, self.path, self.ready = name, path, ready
        self.port = free_port()
        self.command = [word.replace("{port}", str(self.port)) for word in command]
        self._log: IO[bytes] | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts it, and doesn't wait."""
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed by stop
        self._process = subprocess.Popen(  # noqa: S603 - a command of ours
            self.command, cwd=ROOT, stdout=self._log, stderr=self._log, start_new_session=True
        )

    def wait(self, seconds: float = READY_SECONDS) -> None:
        """Returns once it is ready. Raises ServerError if it ends or isn't in time."""
        assert self._process is not None, "start comes first"
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if (status := self._process.poll()) is not None:
                raise self._error(f"ended with {status}")
            with contextlib.suppress(OSError, http.client.HTTPException):
                if self._exchange("GET", self.ready, None, 5)[0] == 200:
                    return
            time.sleep(0.05)
        raise self._error(f"wasn't ready within {seconds:g} s")

    def ask(self, body: str) -> dict[str, Any]:
        """One answer. Raises ServerError where it isn't one."""
        try:
            status, content = self._exchange("POST", self.path, body, ASK_SECONDS)
        except (OSError, http.client.HTTPException) as error:
            raise self._error(f"gave no answer: {error!r}") from error
        if status != 200:
            raise self._error(f"answered {status}: {content[:300].decode(errors='replace')}")
        answer: dict[str, Any] = json.loads(content)
        return answer

    def pause(self) -> None:
        """Nothing of it runs until ``resume``: some servers poll when idle."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """It goes on."""
        self._signal(signal.SIGCONT)

    @contextlib.contextmanager
    def awake(self) -> Iterator[None]:
        """It runs, and is held still again after."""
        self.resume()
        try:
            yield
        finally:
            self.pause()

    def stop(self) -> None:
        """Asks it to end, then ends what is left of its session's group."""
        process = self._process
        if process is not None:
            self.resume()
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(STOP_SECONDS)
            self._signal(signal.SIGKILL)
            process.wait()
            self._process = None
        if self._log is not None:
            self._log.close()

    def _exchange(
        self, method: str, path: str, body: str | None, seconds: float
    ) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(HOST, self.port, timeout=seconds)
        try:
            connection.request(method, path, body, {"Content-Type": "application/json"})
            reply = connection.getresponse()
            return reply.status, reply.read()
        finally:
            connection.close()

    def _signal(self, number: int) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):  # nothing is left of it
                os.killpg(self._process.pid, number)

    def _error(self, what: str) -> ServerError:
        tail = ""
        if self._log is not None:
            self._log.seek(0)
            tail = self._log.read().decode(errors="replace")[-TAIL_CHARACTERS:].strip()
        return ServerError(
            f"{self.name} {what}; its command: {shlex.join(self.command)}"
            + (f"; its log ends:\n{tail}" if tail else "")
        )


@contextlib.contextmanager
def running(servers: Sequence[Server]) -> Iterator[None]:
    """All of them, started together and ready; none is left after.

    Raises:
        ServerError: one ended or wasn't ready in time.
    """
    with contextlib.ExitStack() as stack:
        for server in servers:
            stack.callback(server.stop)
            server.start()
        for server in servers:
            server.wait()
        yield


@contextlib.contextmanager
def ending_on_sigterm() -> Iterator[None]:
    """SIGTERM interrupts this process as Ctrl-C does, once: what it started is ended meanwhile."""

    def interrupt(number: int, frame: object) -> None:
        signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def free_port() -> int:
    """A port nobody listens on just now, never the same twice in a process.

    Raises:
        OSError: there is none.
    """
    for port in itertools.islice(_ports, len(PORTS)):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind((HOST, port))
            return port
    raise OSError(f"no port from {PORTS[0]} to {PORTS[-1]} is free")


def _in_turn(ports: Sequence[int]) -> Iterator[int]:
    """Round and round, from a place that another process hardly begins at."""
    start = random.randrange(len(ports))
    return itertools.cycle([*ports[start:], *ports[:start]])


_ports = _in_turn(PORTS)

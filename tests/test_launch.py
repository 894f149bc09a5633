"""What the launcher promises: nothing is left running, and nothing missing goes unnoticed."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

import pytest

from bench.processes import free_port
from tests.launch import Program, eventually, require

# Serves its own folder, in a child of its own, and doesn't end when asked to.
STUBBORN = """
import http.server, os, signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
os.fork()
try:
    http.server.test(http.server.SimpleHTTPRequestHandler, port={port}, bind="127.0.0.1")
except OSError:
    signal.pause()
"""


def test_program_leaves_nothing_running(tmp_path: Path) -> None:
    port = free_port()
    command = [sys.executable, "-c", STUBBORN.format(port=port)]
    program = Program(command, port=port, log=tmp_path / "log", ready="/pyproject.toml")
    program.start()
    assert program.stop(seconds=0.5) < 0
    eventually(lambda: not alive_in_group(program.pid), 10)  # the kernel may be at it still


def test_program_that_dies_fails_with_its_log(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "raise SystemExit('no weights')"]
    program = Program(command, port=free_port(), log=tmp_path / "log", ready="/")
    with pytest.raises(pytest.fail.Exception, match="no weights"):
        program.start()


def test_missing_part_skips(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="make parts"):
        require("no-such-program")


def test_missing_part_fails_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="make parts"):
        require("no-such-program")


def alive_in_group(group: int) -> list[int]:
    """Its processes that still run: one that was killed may wait to be collected, in state Z."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it ended as we looked
            state, _, its_group = path.read_text().rpartition(")")[2].split()[:3]
            if int(its_group) == group and state != "Z":
                found.append(int(path.parent.name))
    return found

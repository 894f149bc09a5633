"""README.md from top to bottom, in a fresh clone, by someone who has Python, make and curl."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from bench.processes import free_port
from tests.launch import ROOT, Program, printed, require
from tests.test_readme import EXAMPLES, QUICK, Example, compare

pytestmark = pytest.mark.real

INSTALL_SECONDS = 1200  # one or two minutes; several where the machine is full
NEVER = shutil.ignore_patterns(".git", ".venv", ".work", ".containers", ".*_cache", "__pycache__")


class Served(Program):
    """``make serve`` in a clone: make, and the service that it runs."""

    def stop(self, seconds: float = 20) -> int:
        with suppress(ProcessLookupError):  # make passes no signal on
            os.killpg(self.pid, signal.SIGTERM)
        return super().stop(seconds)


def clone(folder: Path) -> Path:
    """What someone gets who clones this, with what isn't committed yet."""
    if not (ROOT / ".git").exists():
        shutil.copytree(ROOT, folder, ignore=NEVER)
        return folder
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    for name in subprocess.check_output(command, cwd=ROOT, text=True).split("\0"):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    return folder


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, int]]:
    """A clone in which README's first command runs, and the port of what it serves."""
    assert EXAMPLES[0].command == "make serve"
    folder, port = clone(tmp_path_factory.mktemp("newcomer") / "lockstep"), free_port()
    command = [require("make"), "-C", str(folder), "serve", f"ARGS=--port {port}"]
    service = Served(
        command,
        port=port,
        log=folder.parent / "log",
        ready="/health/ready",
        ready_seconds=INSTALL_SECONDS,
    )
    with service:
        yield folder, port


def quick(example: Example) -> bool:
    """Whether it can be done here; what trains or needs an engine is tried by other tests."""
    words = shlex.split(example.command)
    return example.program == "curl" or (example.program == "lockstep" and words[1] in QUICK)


@pytest.mark.parametrize(
    "example", [one for one in EXAMPLES if quick(one)], ids=lambda example: example.command[:60]
)
def test_newcomer_is_answered_as_the_readme_shows(
    served: tuple[Path, int], example: Example
) -> None:
    require("curl")
    folder, port = served
    command = example.command.replace("localhost:8000", f"127.0.0.1:{port}")
    compare(printed(["bash", "-c", command], folder), example.output)


def test_newcomer_installed_no_more_than_serving_needs(served: tuple[Path, int]) -> None:
    folder, _ = served
    listed = printed([".venv/bin/pip", "list", "--format", "freeze"], folder).lower()
    assert "torch==" in listed
    for other in ("lightning", "pytest", "locust", "matplotlib", "playwright"):
        assert f"{other}==" not in listed

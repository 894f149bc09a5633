"""compose.yaml brought up on a test's engine, out of images made here under the names it uses."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.launch import ROOT, Program, require
from tests.real.engine import CACHE, ENDS_WITH_US, PORTS, Engine
from tests.real.prometheus import Prometheus

COMPOSE = Path(sys.executable).with_name("docker-compose")
BUILD_SECONDS = 1800  # two minutes on two idle cores
# Debian's Prometheus, laid out as the project's own image of it is.
PROMETHEUS = """
FROM python:3.11-slim-bookworm
COPY prometheus promtool /bin/
RUN mkdir /prometheus && chown nobody:nogroup /prometheus
USER nobody
VOLUME /prometheus
ENTRYPOINT ["/bin/prometheus"]
"""
WORKERS = 2
# They are the processes that map torch.
KILL_WORKERS = """
import contextlib, os, pathlib, signal
for process in pathlib.Path("/proc").glob("[0-9]*"):
    with contextlib.suppress(OSError):  # it ended meanwhile
        if "libtorch" in (process / "maps").read_text():
            os.kill(int(process.name), signal.SIGKILL)
            print(process.name)
"""


def compose_config() -> dict[str, Any]:
    """compose.yaml with every profile and no variable set, as Compose itself reads it."""
    command = [require(str(COMPOSE)), "--env-file", os.devnull, "--profile", "*", "config"]
    environment = {"PATH": os.environ["PATH"]}
    printed = subprocess.check_output([*command, "--format", "json"], cwd=ROOT, env=environment)
    config: dict[str, Any] = json.loads(printed)
    return config


def build_images(engine: Engine, folder: Path) -> None:
    """Every image that compose.yaml builds, and a Prometheus; ``folder`` is for what passes."""
    engine.run(ROOT / "scripts/base-image", CACHE, seconds=BUILD_SECONDS)
    if index := os.environ.get("TORCH_INDEX"):
        _build_ours(engine, index)
    else:
        with TorchIndex(engine, folder / "index.log") as torch:
            _build_ours(engine, f"http://localhost:{torch.port}/")
    for program in ("prometheus", "promtool"):
        shutil.copy(require(program), folder)
    (folder / "Dockerfile").write_text(PROMETHEUS)
    engine.docker("build", "--tag", compose_config()["services"]["prometheus"]["image"], folder)


def _build_ours(engine: Engine, torch_index: str) -> None:
    for service in compose_config()["services"].values():
        if build := service.get("build"):
            what = ("--target", build["target"], "--tag", service["image"])
            how = ("--network", "host", "--build-arg", f"TORCH_INDEX={torch_index}")
            engine.docker("build", *what, *how, ROOT, seconds=BUILD_SECONDS)


class TorchIndex(Program):
    """An index that has torch alone, as this machine's pip gets it, on the engine's localhost."""

    def __init__(self, engine: Engine, log: Path) -> None:
        folder, port = CACHE / "index", next(PORTS)
        if not (folder / _torch()).is_dir():
            pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", _torch()]
            subprocess.run([*pip, "--dest", folder / "part/torch"], check=True)
            (folder / "part").rename(folder / _torch())
        inside = (*ENDS_WITH_US, "nsenter", f"--net={engine.facts['NETNS']}")
        server = (sys.executable, "-m", "http.server", "--directory", folder / _torch(), str(port))
        super().__init__([*inside, *server], port=port, log=log, ready="/torch/")
        self.base_url = f"http://{engine.address}:{port}"


def _torch() -> str:
    lines = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    (pin,) = [line for line in lines if line.startswith("torch==")]
    return pin


class Stack:
    """The service and Prometheus as ``docker compose up`` brings them up.

    Attributes:
        base_url: where the service answers.
        prometheus: the one that scrapes it, with the rules of deploy/prometheus.
    """

    def __init__(self, engine: Engine, **variables: str) -> None:
        """``variables`` are compose.yaml's, and the service's settings."""
        self.engine = engine
        self.variables = {"LOCKSTEP_WORKERS": str(WORKERS), **variables}
        self.base_url = f"http://{engine.address}:8000"
        url = f"http://{engine.address}:9090"
        self.prometheus = Prometheus(url, lambda: self.compose("logs", "--tail=50", "prometheus"))

    def compose(self, *arguments: str, seconds: float = 300) -> str:
        """What a Compose command prints; it must succeed."""
        return self.engine.run(COMPOSE, *arguments, seconds=seconds, **self.variables)

    def up(self) -> None:
        """Brings it up, and returns once all of it is healthy."""
        try:
            self.compose("up", "--detach", "--wait", "lockstep", "prometheus")
        except (AssertionError, subprocess.TimeoutExpired) as error:
            pytest.fail(f"{error}\n{self.compose('logs', '--tail', '50')}")

    def down(self) -> None:
        self.prometheus.close()
        self.compose("down", "--volumes")

    def kill_workers(self) -> None:
        """All, from inside, with no warning: as the kernel does it to one that takes all memory."""
        killed = self.compose("exec", "-T", "lockstep", "python", "-c", KILL_WORKERS).split()
        assert len(killed) == WORKERS, f"the processes that map torch: {killed}"

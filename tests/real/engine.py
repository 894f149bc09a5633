"""A Docker engine for a test, and containers on it confined as docs/containers.md has it."""

from __future__ import annotations

import itertools
import os
import subprocess
from pathlib import Path

from tests.launch import ROOT, Program, require, without

CACHE = ROOT / ".containers"  # what is slow to make and the same next time
FACTS = ("DOCKER_HOST=", "NETNS=", "ADDRESS=")
PORTS = itertools.count(18000)  # in the engine's own network, where nobody else has any
# What the kernel tells to end should this process be killed.
ENDS_WITH_US = ("setpriv", "--pdeathsig", "TERM")
CONFINED = ("--read-only", "--cap-drop=all", "--security-opt", "no-new-privileges")


class Engine(Program):
    """scripts/docker-engine for the length of a ``with``; its end takes every container along.

    Attributes:
        facts: what a client needs, as the script prints it.
    """

    def __init__(self, log: Path, cache: Path = CACHE) -> None:
        """``cache`` is for the images, which one engine at a time can have."""
        for program in ("dockerd", "docker", "iptables", "ip", "mmdebstrap", "prometheus"):
            require(program)
        if os.geteuid() != 0:
            without("a Docker engine and its network need root")
        command = (*ENDS_WITH_US, ROOT / "scripts/docker-engine", cache)
        super().__init__(command, port=0, log=log, ready="", ready_seconds=600)
        self.facts: dict[str, str] = {}

    def start(self) -> None:
        """The one before may have been killed with containers that start again with this one."""
        super().start()
        try:
            if left := self.docker("ps", "--all", "--quiet").split():
                self.docker("rm", "--force", "--volumes", *left)
            # What is younger saves the next build its time.
            self.docker("image", "prune", "--force", "--filter", "until=168h")
        except BaseException:
            self.stop()
            raise

    def stop(self, seconds: float = 90) -> int:
        return super().stop(seconds)

    @property
    def address(self) -> str:
        """Where the ports that containers publish can be reached from here."""
        return self.facts["ADDRESS"]

    @property
    def environment(self) -> dict[str, str]:
        """For any client of the engine: it builds as every engine and client can, and publishes."""
        ours = {"DOCKER_HOST": self.facts["DOCKER_HOST"], "DOCKER_BUILDKIT": "0"}
        return {**os.environ, **ours, "BIND_ADDRESS": self.address}

    def run(self, *command: str | Path, seconds: float = 300, **variables: str) -> str:
        """What a command prints that talks to the engine; it must succeed."""
        done = self.attempt(*command, seconds=seconds, **variables)
        assert done.returncode == 0, f"{command}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
        return done.stdout.strip()

    def attempt(
        self, *command: str | Path, seconds: float = 300, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """The same, which may fail; ``variables`` are added to its environment."""
        return subprocess.run(
            [str(word) for word in command],
            cwd=ROOT,
            env=self.environment | variables,
            capture_output=True,
            text=True,
            check=False,
            timeout=seconds,
        )

    def docker(self, *arguments: str | Path, seconds: float = 300) -> str:
        return self.run("docker", *arguments, seconds=seconds)

    def _answers(self) -> bool:
        lines = self.log.read_text(errors="replace").splitlines()
        self.facts = dict(line.split("=", 1) for line in lines if line.startswith(FACTS))
        return len(self.facts) == len(FACTS)


class Container(Program):
    """A container in the foreground, with nothing it may write but /tmp."""

    def __init__(self, engine: Engine, image: str, log: Path, **settings: object) -> None:
        """``settings`` are the service's, by the names they have in service/settings.py."""
        port = next(PORTS)
        self.engine = engine
        self.name = f"test-{port}"
        command = ["docker", "run", "--rm", "--name", self.name, "--tmpfs", "/tmp", *CONFINED]
        for name, value in settings.items():
            command += ["--env", f"LOCKSTEP_{name.upper()}={value}"]
        super().__init__(
            [*command, "--publish", f"{engine.address}:{port}:8000", image],
            port=port,
            log=log,
            ready="/health/ready",
            ready_seconds=300,
            env=engine.environment,
        )
        self.base_url = f"http://{engine.address}:{port}"

    def python(self, code: str) -> str:
        """What Python code prints that runs inside, beside the service."""
        return self.engine.docker("exec", self.name, "python", "-c", code)

    def health(self) -> str:
        """What the engine says of its health check: starting, healthy or unhealthy."""
        return self.engine.docker("inspect", "--format", "{{.State.Health.Status}}", self.name)

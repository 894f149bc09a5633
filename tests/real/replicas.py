"""Two replicas and a balancer, each on a machine of its own: network namespaces on one switch."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

from tests.launch import LOCKSTEP, ROOT, Program, require, without
from tests.real.engine import ENDS_WITH_US

CONFIG = ROOT / "deploy" / "haproxy" / "haproxy.cfg"
REPLICAS = ("lockstep", "lockstep-2")  # as the configuration calls them
PORT, STATISTICS_PORT = 8000, 8404
READY_SECONDS = 300  # some 10 s for both, and many times that where every core is taken


class Network:
    """A switch, this machine on it, and a namespace for each name; gone with the ``with``.

    Attributes:
        addresses: of each name.
    """

    def __init__(self, names: tuple[str, ...], number: int) -> None:
        """``number``, from 0 to 255, keeps networks apart that are there at the same time."""
        for program in ("ip", "setpriv"):
            require(program)
        if os.geteuid() != 0:
            without("network namespaces need root")
        subnet = f"10.215.{number}"
        self._tag = f"rep{os.getpid()}"  # a link's name has 15 letters at most
        self._switch, self._here = f"{self._tag}-sw", f"{subnet}.254/24"
        self.addresses = {name: f"{subnet}.{last}" for last, name in enumerate(names, 11)}

    def inside(self, name: str) -> tuple[str, ...]:
        """What to put before a command that is to run on the machine of that name."""
        return (*ENDS_WITH_US, "ip", "netns", "exec", self.namespace(name))

    def namespace(self, name: str) -> str:
        return f"{self._tag}-{name}"

    def cut(self, name: str) -> None:
        """Pulls its cable: what is sent there is lost without a word."""
        self._set(name, "down")

    def mend(self, name: str) -> None:
        self._set(name, "up")

    def _set(self, name: str, state: str) -> None:
        port = list(self.addresses).index(name)
        _ip("-n", self._switch, "link", "set", f"port{port}", state)

    def __enter__(self) -> Self:
        _remove_what_killed_tests_left()
        try:
            _ip("netns", "add", self._switch)
            _ip("-n", self._switch, "link", "add", "switch", "type", "bridge")
            _ip("-n", self._switch, "link", "set", "switch", "up")
            for port, (name, address) in enumerate(self.addresses.items()):
                self._connect(port, name, address)
            _ip("link", "add", self._tag, "type", "veth", "peer", "here", "netns", self._switch)
            self._plug("here")
            _ip("address", "add", self._here, "dev", self._tag)
            _ip("link", "set", self._tag, "up")
        except BaseException:
            self._remove()
            raise
        return self

    def _connect(self, port: int, name: str, address: str) -> None:
        space, end = self.namespace(name), f"port{port}"
        _ip("netns", "add", space)
        hosts = Path("/etc/netns") / space / "hosts"  # /etc/hosts in there
        hosts.parent.mkdir(parents=True)
        known = {"localhost": "127.0.0.1"} | self.addresses
        hosts.write_text("".join(f"{where} {host}\n" for host, where in known.items()))
        veth = ("type", "veth", "peer", "eth0", "netns", space)
        _ip("-n", self._switch, "link", "add", end, *veth)
        self._plug(end)
        _ip("-n", space, "address", "add", f"{address}/24", "dev", "eth0")
        _ip("-n", space, "link", "set", "eth0", "up")
        _ip("-n", space, "link", "set", "lo", "up")

    def _plug(self, end: str) -> None:
        _ip("-n", self._switch, "link", "set", end, "master", "switch", "up")

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._remove()

    def _remove(self) -> None:
        _ip("link", "delete", self._tag, check=False)
        for space in (*map(self.namespace, self.addresses), self._switch):
            _remove_namespace(space)


class Replica(Program):
    """``lockstep serve`` on a machine of its own."""

    def __init__(self, network: Network, name: str, log: Path, *arguments: str) -> None:
        where = ("--host", "0.0.0.0", "--port", str(PORT))
        super().__init__(
            [*network.inside(name), *LOCKSTEP, "serve", *where, *arguments],
            port=PORT,
            log=log,
            ready="/health/ready",
            ready_seconds=READY_SECONDS,
        )
        self.base_url = f"http://{network.addresses[name]}:{PORT}"

    def signal(self, number: int) -> None:
        """To every process of it: as if the machine had it, not one process."""
        os.killpg(self.pid, number)

    def kill(self) -> None:
        """With no warning, all of it at once."""
        self.signal(signal.SIGKILL)
        self.process.wait()


class Balancer(Program):
    """HAProxy with the configuration of deploy/haproxy, unchanged."""

    def __init__(self, network: Network, name: str, log: Path, config: Path = CONFIG) -> None:
        command = (require("haproxy"), "-db", "-f", config)
        super().__init__(
            [*network.inside(name), *command], port=STATISTICS_PORT, log=log, ready="/ready"
        )
        self.address = (network.addresses[name], PORT)
        self.base_url = f"http://{self.address[0]}:{STATISTICS_PORT}"

    def up(self) -> Mapping[str, bool]:
        """Whether it sends requests to each replica."""
        scrape = httpx.get(f"{self.base_url}/metrics", timeout=10).text
        return {
            name: f'haproxy_server_status{{proxy="replicas",server="{name}",state="UP"}} 1'
            in scrape
            for name in REPLICAS
        }


def _remove_what_killed_tests_left() -> None:
    folder = Path("/run/netns")
    for space in [path.name for path in folder.glob("rep*-*")] if folder.exists() else []:
        owner = re.match(r"rep(\d+)-", space)
        if owner and not Path(f"/proc/{owner[1]}").exists():
            _ip("link", "delete", f"rep{owner[1]}", check=False)
            _remove_namespace(space)


def _remove_namespace(space: str) -> None:
    _ip("netns", "delete", space, check=False)
    folder = Path("/etc/netns") / space
    (folder / "hosts").unlink(missing_ok=True)
    with contextlib.suppress(FileNotFoundError):
        folder.rmdir()


def _ip(*arguments: str, check: bool = True) -> None:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    assert not check or done.returncode == 0, f"ip {' '.join(arguments)}: {done.stderr}"

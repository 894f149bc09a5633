"""Servers of a bench: ready inside, held still when asked, gone after, whatever happened."""

from __future__ import annotations

import signal
import socket
import sys
from pathlib import Path

import pytest

from bench import processes
from bench.processes import (
    HOST,
    PORTS,
    Server,
    ServerError,
    ending_on_sigterm,
    free_port,
    running,
)
from tests.launch import eventually

FAKE = [sys.executable, "-m", "tests.bench.fake_server", "{port}"]
BODY = '{"inputs": "a film"}'


def server(*command: str) -> Server:
    return Server("fake", command or FAKE, path="/predict", ready="/health")


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def state(pid: int) -> str:
    """Of a process, as the kernel has it: T is held still."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_servers_answer_inside_and_are_gone_after() -> None:
    servers = [server(), server()]
    with running(servers):
        assert [one.ask(BODY)["results"][0]["label"] for one in servers] == ["positive"] * 2
    assert not any(listens(one.port) for one in servers)


def test_servers_are_gone_after_a_failure() -> None:
    one = server()
    with pytest.raises(KeyboardInterrupt), running([one]):
        raise KeyboardInterrupt
    assert not listens(one.port)


def test_paused_server_runs_only_when_awake() -> None:
    one = server()
    with running([one]):
        assert one._process is not None
        pid = one._process.pid
        one.pause()
        eventually(lambda: state(pid) == "T")
        with one.awake():
            assert one.ask(BODY)["results"]
        eventually(lambda: state(pid) == "T")
    assert not Path(f"/proc/{pid}").exists()


def test_children_that_stay_behind_are_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "STOP_SECONDS", 0.2)
    child = tmp_path / "child"
    code = (
        "import signal, subprocess, sys\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "child = subprocess.Popen(sys.argv[1:])\n"
        f"open({str(child)!r}, 'w').write(str(child.pid))\n"
        "child.wait()\n"
    )
    one = server(sys.executable, "-c", code, *FAKE)
    with running([one]):
        pid = int(child.read_text())
    eventually(lambda: not Path(f"/proc/{pid}").exists() or state(pid) == "Z")


def test_server_that_ends_is_told_of_with_its_log() -> None:
    one = server(sys.executable, "-c", "import sys; print('no', 'model'); sys.exit(3)")
    with pytest.raises(ServerError, match=r"(?s)fake ended with 3.*no model"), running([one]):
        pass


def test_server_that_is_never_ready_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    one = server(sys.executable, "-c", "import time; time.sleep(60)")
    one.start()
    pid = one._process.pid if one._process else 0
    with pytest.raises(ServerError, match="wasn't ready within"):
        one.wait(0.2)
    one.stop()
    assert not Path(f"/proc/{pid}").exists()


def test_answer_that_is_none_is_told_of() -> None:
    one = Server("fake", FAKE, path="/nowhere", ready="/health")
    with running([one]), pytest.raises(ServerError, match=r"fake answered 404: .*not here"):
        one.ask(BODY)


def test_sigterm_interrupts_once_and_leaves_time_to_clean_up() -> None:
    before = signal.getsignal(signal.SIGTERM)
    cleaned = []

    def work() -> None:
        try:
            signal.raise_signal(signal.SIGTERM)
        finally:
            signal.raise_signal(signal.SIGTERM)
            cleaned.append(True)

    with pytest.raises(KeyboardInterrupt), ending_on_sigterm():
        work()
    assert cleaned
    assert signal.getsignal(signal.SIGTERM) is before


def test_free_ports_differ_and_are_none_that_a_client_is_given() -> None:
    ports = [free_port() for _ in range(50)]
    assert len(set(ports)) == 50
    with socket.socket() as server, socket.socket() as client:
        server.bind((HOST, 0))
        server.listen()
        client.connect(server.getsockname())
        assert client.getsockname()[1] not in PORTS


def test_port_that_is_taken_is_passed_over() -> None:
    with socket.socket() as holder:
        holder.bind((HOST, free_port()))
        taken = holder.getsockname()[1]
        assert taken not in [free_port() for _ in PORTS]

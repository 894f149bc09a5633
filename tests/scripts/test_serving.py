"""What scripts measure is a service that runs; one that doesn't start is told of."""

from __future__ import annotations

import socket
import urllib.request
from pathlib import Path

import pytest

from bench.processes import free_port
from scripts import serving
from scripts.serving import serving as served


def test_service_is_ready_inside_and_gone_after() -> None:
    port = free_port()
    with served(port, "--models", "lstm") as pid:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/health/ready", timeout=30).close()
    assert not Path(f"/proc/{pid}").exists()
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0


def test_service_that_does_not_start_is_told_of() -> None:
    with pytest.raises(SystemExit, match="ended with 2") as ended, served(free_port(), "--port=80"):
        pass
    assert "serve" in str(ended.value)  # how to see why


def test_service_that_is_never_ready_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "READY_SECONDS", 0)
    with pytest.raises(SystemExit, match="wasn't ready"), served(free_port(), "--models", "lstm"):
        pass

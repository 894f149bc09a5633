"""A real Prometheus for a test, and the configuration of deploy/prometheus made fit for one."""

from __future__ import annotations

import math
import re
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.launch import ROOT, Program, free_port, require

DEPLOYED = ROOT / "deploy" / "prometheus"
TARGET = "lockstep:8000"


@dataclass(frozen=True, slots=True)
class Sample:
    """One series' value at one time."""

    labels: dict[str, str]
    value: float


class PrometheusAPI:
    """What a Prometheus is asked over HTTP, wherever it runs."""

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url
        self._client = httpx.Client(base_url=base_url, timeout=30)

    def close(self) -> None:
        """Lets go of the connection to it."""
        self._client.close()

    def tail(self) -> str:
        """The end of its log."""
        raise NotImplementedError

    def ask(self, query: str, at: float | None = None) -> list[Sample]:
        """Every sample with a finite value, at a time in seconds since 1970 or now."""
        parameters = {"query": query} | ({} if at is None else {"time": str(at)})
        result = self.get("/api/v1/query", **parameters)["result"]
        found = [Sample(one["metric"], float(one["value"][1])) for one in result]
        return [sample for sample in found if math.isfinite(sample.value)]

    def get(self, path: str, **parameters: str) -> Any:
        """``data`` of an answer of the HTTP API; a query that is wrong fails the test."""
        answer = self._client.get(path, params=parameters)
        assert answer.status_code == 200, f"{parameters}: {answer.text}"
        return answer.json()["data"]

    def firing(self) -> set[str]:
        """Names of the alerts that fire now."""
        alerts = self.get("/api/v1/alerts")["alerts"]
        return {one["labels"]["alertname"] for one in alerts if one["state"] == "firing"}

    def until(self, condition: Callable[[], Any], what: str, seconds: float = 60) -> Any:
        """What ``condition`` gives once it is true."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if value := condition():
                return value
            time.sleep(0.2)
        pytest.fail(f"{what}: not within {seconds:g} s; the log ends:\n{self.tail()}")


class Prometheus(Program, PrometheusAPI):
    """Prometheus with a configuration, its data in a folder."""

    def __init__(self, config: Path, folder: Path) -> None:
        port = free_port()
        command = [
            require("prometheus"),
            f"--config.file={config}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
        ]
        Program.__init__(self, command, port=port, log=folder / "log", ready="/-/ready")
        PrometheusAPI.__init__(self, self.base_url)

    def stop(self, seconds: float = 20) -> int:
        """As any program; and lets go of the connection to it."""
        self.close()
        return super().stop(seconds)


def deployed_config(folder: Path, port: int) -> Path:
    """deploy/prometheus with another target and every interval 2 s; nothing else differs."""
    copy = folder / "deployed"
    shutil.copytree(DEPLOYED, copy)
    config = copy / "prometheus.yml"
    text = config.read_text(encoding="utf-8")
    assert text.count(f'["{TARGET}"]') == 1
    text = text.replace(TARGET, f"127.0.0.1:{port}")
    config.write_text(_often(text), encoding="utf-8")
    for rules in (copy / "rules").iterdir():
        rules.write_text(_often(rules.read_text(encoding="utf-8")), encoding="utf-8")
    return config


def _often(text: str) -> str:
    return re.sub(r"^(\s*(?:\w+_)?(?:interval|timeout):) \w+", r"\1 2s", text, flags=re.MULTILINE)

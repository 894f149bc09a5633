"""A Prometheus as a test asks it, and the configuration of deploy/prometheus made fit for one."""

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

from tests.launch import ROOT

DEPLOYED = ROOT / "deploy" / "prometheus"


@dataclass(frozen=True, slots=True)
class Sample:
    """One series' value at one time."""

    labels: dict[str, str]
    value: float


class Prometheus:
    """What a Prometheus is asked over HTTP, wherever it runs."""

    def __init__(self, base_url: str, tail: Callable[[], str]) -> None:
        """``tail`` gives the end of its log."""
        self.base_url = base_url
        self._tail = tail
        self._client = httpx.Client(base_url=base_url, timeout=30)

    def close(self) -> None:
        """Lets go of the connection to it."""
        self._client.close()

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

    def scraped(self) -> None:
        """Returns once a scrape that began after the call is stored."""
        query = f"timestamp(lockstep_build_info) > {time.time()}"
        self.until(lambda: self.ask(query), "no new scrape")

    def until(self, condition: Callable[[], Any], what: str, seconds: float = 60) -> Any:
        """What ``condition`` gives once it is true."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if value := condition():
                return value
            time.sleep(0.2)
        pytest.fail(f"{what}: not within {seconds:g} s; the log ends:\n{self._tail()}")


def hurried_config(folder: Path) -> Path:
    """A copy of deploy/prometheus with every interval 2 s; nothing else differs."""
    copy = folder / "prometheus"
    shutil.copytree(DEPLOYED, copy)
    for path in [copy / "prometheus.yml", *(copy / "rules").iterdir()]:
        path.write_text(_hurried(path.read_text(encoding="utf-8")), encoding="utf-8")
    return copy


def _hurried(text: str) -> str:
    return re.sub(r"^(\s*(?:\w+_)?(?:interval|timeout):) \w+", r"\1 2s", text, flags=re.MULTILINE)

"""What a real Prometheus makes of /metrics."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.launch import Program, Service, free_port, require
from tests.real.traffic import classify_all

pytestmark = pytest.mark.real

STAGES = {"parse", "tokenize", "queue", "batch", "forward", "respond"}
CONFIG = """
global: {{scrape_interval: 1s}}
scrape_configs:
  - job_name: lockstep
    static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
"""


@pytest.fixture(scope="module")
def traffic(service: Service) -> list[str]:
    """The models that have answered something, every one there is."""
    return classify_all(service.base_url)


@pytest.fixture(scope="module")
def prometheus(
    service: Service, traffic: list[str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Program]:
    """A Prometheus that scrapes the service each second, from after the traffic on."""
    folder = tmp_path_factory.mktemp("prometheus")
    port = free_port()
    command = [
        require("prometheus"),
        f"--config.file={_config(folder, service.port)}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with Program(command, port=port, log=folder / "log", ready="/-/ready") as running:
        yield running


def test_metrics_pass_promtool(service: Service, traffic: list[str]) -> None:
    scrape = httpx.get(f"{service.base_url}/metrics", timeout=30).raise_for_status()
    command = [require("promtool"), "check", "metrics"]
    done = subprocess.run(command, input=scrape.content, capture_output=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, b"")


def test_prometheus_counts_requests(prometheus: Program, traffic: list[str]) -> None:
    query = 'lockstep_request_duration_seconds_count{route="/v1/classify", code="200"} > 0'
    series = _ask(prometheus, query)
    assert {one["model"] for one in series} == set(traffic)


def test_prometheus_has_every_stage(prometheus: Program, traffic: list[str]) -> None:
    series = _ask(prometheus, 'lockstep_stage_duration_seconds_bucket{le="+Inf"} > 0')
    pairs = {(one["model"], one["stage"]) for one in series}
    assert pairs == {(model, stage) for model in traffic for stage in STAGES}


def test_prometheus_has_forwards_by_length(prometheus: Program, traffic: list[str]) -> None:
    series = _ask(prometheus, 'lockstep_forward_duration_seconds_bucket{le="+Inf"} > 0')
    assert {one["model"] for one in series} == set(traffic)
    assert {one["length_bucket"] for one in series} >= {"1-16", "33-64"}
    assert {one["batch_bucket"] for one in series} <= {"1", "2-4", "5-16", "17+"}


def _config(folder: Path, port: int) -> Path:
    path = folder / "prometheus.yml"
    path.write_text(CONFIG.format(port=port))
    return path


def _ask(prometheus: Program, query: str) -> list[dict[str, Any]]:
    """Labels of every series that answers, once any does: the first scrape may be a second away."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        url = f"{prometheus.base_url}/api/v1/query"
        reply = httpx.get(url, params={"query": query}, timeout=30).raise_for_status().json()
        if found := reply["data"]["result"]:
            return [series["metric"] for series in found]
        time.sleep(0.5)
    pytest.fail(f"no answer to {query}; the log ends:\n{prometheus.tail()}")

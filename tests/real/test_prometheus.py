"""What a real Prometheus makes of /metrics."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.launch import Service, require
from tests.real.prometheus import Prometheus
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
) -> Iterator[Prometheus]:
    """A Prometheus that scrapes the service each second, from after the traffic on."""
    folder = tmp_path_factory.mktemp("prometheus")
    with Prometheus(_config(folder, service.port), folder) as running:
        yield running


def test_metrics_pass_promtool(service: Service, traffic: list[str]) -> None:
    scrape = httpx.get(f"{service.base_url}/metrics", timeout=30).raise_for_status()
    command = [require("promtool"), "check", "metrics"]
    done = subprocess.run(command, input=scrape.content, capture_output=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, b"")


def test_prometheus_counts_requests(prometheus: Prometheus, traffic: list[str]) -> None:
    query = 'lockstep_request_duration_seconds_count{route="/v1/classify", code="200"} > 0'
    series = _ask(prometheus, query)
    assert {one["model"] for one in series} == set(traffic)


def test_prometheus_has_every_stage(prometheus: Prometheus, traffic: list[str]) -> None:
    series = _ask(prometheus, 'lockstep_stage_duration_seconds_bucket{le="+Inf"} > 0')
    pairs = {(one["model"], one["stage"]) for one in series}
    assert pairs == {(model, stage) for model in traffic for stage in STAGES}


def test_prometheus_has_forwards_by_length(prometheus: Prometheus, traffic: list[str]) -> None:
    series = _ask(prometheus, 'lockstep_forward_duration_seconds_bucket{le="+Inf"} > 0')
    assert {one["model"] for one in series} == set(traffic)
    assert {one["length_bucket"] for one in series} >= {"1-16", "33-64"}
    assert {one["batch_bucket"] for one in series} <= {"1", "2-4", "5-16", "17+"}


def _config(folder: Path, port: int) -> Path:
    path = folder / "prometheus.yml"
    path.write_text(CONFIG.format(port=port))
    return path


def _ask(prometheus: Prometheus, query: str) -> list[dict[str, str]]:
    """Labels of every series that answers, once any does: the first scrape may be a second away."""
    found = prometheus.until(lambda: prometheus.ask(query), f"no answer to {query}")
    return [sample.labels for sample in found]

"""The gap on a service's own traffic, over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from tests.service.in_process import sample, serving

NAMES = ["lstm", "transformer"]


@pytest.fixture
def client(weights: Path) -> Iterator[TestClient]:
    with serving(weights, NAMES) as client:
        yield client


def test_gap_is_what_the_metrics_say(client: TestClient) -> None:
    for name in NAMES:
        for _ in range(3):
            client.post("/v1/classify", json={"inputs": "a fine film", "model": name})
    answer = client.get("/v1/gap?baseline=transformer").json()
    forwards = {forward["model"]: forward for forward in answer["forwards"]}
    for name in NAMES:
        labels = {"model": name, "schedule": "", "length_bucket": "1-16", "batch_bucket": "1"}
        seconds = sample(client, "lockstep_forward_duration_seconds_sum", **labels)
        assert forwards[name]["count"] == 3
        assert forwards[name]["mean_ms"] == pytest.approx(seconds / 3 * 1e3, abs=1e-3)
        flops = sample(client, "lockstep_model_flops_total", model=name)
        assert answer["models"][name]["flops"] == flops > 0
    expected = forwards["lstm"]["mean_ms"] / forwards["transformer"]["mean_ms"]
    assert forwards["lstm"]["ratio"] == pytest.approx(expected, rel=0.01)
    assert forwards["transformer"]["ratio"] == 1


def test_gap_before_any_traffic_is_empty(client: TestClient) -> None:
    answer = client.get("/v1/gap").json()
    assert (answer["baseline"], answer["forwards"]) == ("lstm", [])
    assert answer["models"]["lstm"]["flops_per_second"] is None


@pytest.mark.parametrize(("query", "status"), [("baseline=nobody", 404), ("base=lstm", 422)])
def test_gap_refuses_what_it_does_not_know(client: TestClient, query: str, status: int) -> None:
    assert client.get(f"/v1/gap?{query}").status_code == status

"""The same texts through several models, over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from service.api.compare import rotated
from tests.service.in_process import sample, serving

TEXT = "a fine film and a great story"  # 9 tokens; the Transformer's window is 8
NAMES = ["lstm", "mingru", "transformer"]


@pytest.fixture
def client(weights: Path) -> Iterator[TestClient]:
    with serving(weights, NAMES) as client:
        yield client


def compare(client: TestClient, **body: Any) -> dict[str, Any]:
    answer = client.post("/v1/compare", json={"inputs": TEXT} | body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_compare_asks_every_model_in_three_rounds(client: TestClient) -> None:
    answer = compare(client)
    assert [entry["model"] for entry in answer["models"]] == NAMES
    assert (answer["baseline"], answer["rounds"]) == ("lstm", 3)
    for entry in answer["models"]:
        forwards = sorted(entry["forward_ms"])
        assert len(forwards) == 3
        assert entry["timing"]["forward_ms"] == forwards[1]
        assert entry["results"][0]["label"] in ("negative", "positive")


def test_ratios_are_of_median_forwards_to_the_baseline(client: TestClient) -> None:
    answer = compare(client, models=["transformer", "lstm"], baseline="lstm")
    transformer, lstm = answer["models"]
    assert lstm["ratio"] == 1.0
    expected = transformer["timing"]["forward_ms"] / lstm["timing"]["forward_ms"]
    assert transformer["ratio"] == pytest.approx(expected, rel=0.05)


def test_agreement_is_told_for_each_text(client: TestClient) -> None:
    answer = compare(client, inputs=["a dull film", "great", "not fine"])
    for at, agree in enumerate(answer["agree"]):
        labels = {entry["results"][at]["label"] for entry in answer["models"]}
        assert agree == (len(labels) == 1)
    assert len(answer["agree"]) == 3


def test_each_schedule_is_a_contender_of_its_own(client: TestClient) -> None:
    answer = compare(client, models=["mingru", "lstm"], schedule="each")
    entries = [(entry["model"], entry["schedule"]) for entry in answer["models"]]
    assert entries == [("mingru", "serial"), ("mingru", "parallel"), ("lstm", None)]
    depths = [entry["timing"]["sequential_depth"] for entry in answer["models"]]
    assert depths == [9, 4, 9]


def test_compare_is_no_client_traffic(client: TestClient) -> None:
    compare(client, models=["lstm"])
    assert sample(client, "lockstep_stage_duration_seconds_count", model="lstm", stage="queue") == 0
    assert sample(client, "lockstep_model_flops_total", model="lstm") == 0
    assert sample(client, "lockstep_predictions_total", model="lstm", label="positive") == 0
    assert sample(client, "lockstep_worker_busy_seconds_total", device="cpu") > 0
    labels = {"model": "other", "route": "/v1/compare", "code": "200"}
    assert sample(client, "lockstep_request_duration_seconds_count", **labels) == 1


@pytest.mark.parametrize(
    ("body", "status", "place"),
    [
        ({"models": ["lstm", "lstm"]}, 422, ["models", 1]),
        ({"models": []}, 422, ["models"]),
        ({"models": ["nobody"]}, 404, None),
        ({"models": ["lstm"], "baseline": "mingru"}, 422, ["baseline"]),
        ({"inputs": ["fine", ""]}, 422, ["inputs", 1]),
        ({"long_input": "error"}, 422, ["inputs", 0]),
        ({"schedule": "serial"}, 422, ["schedule"]),
        ({"rounds": 5}, 422, ["rounds"]),
    ],
)
def test_mistake_is_told_where_it_is(
    client: TestClient, body: dict[str, Any], status: int, place: list[Any] | None
) -> None:
    answer = client.post("/v1/compare", json={"inputs": TEXT} | body)
    assert answer.status_code == status
    assert place is None or answer.json()["errors"][0]["loc"] == place


def test_rounds_begin_further_along_each_time() -> None:
    order = rotated(["a", "b", "c"], 3)
    assert order == ["a", "b", "c", "b", "c", "a", "c", "a", "b"]
    assert rotated(["a"], 3) == ["a"] * 3

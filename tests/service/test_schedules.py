"""A model with two schedules over HTTP: the application and a worker's loop, in one process."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from starlette.testclient import TestClient

from service.engine.compute import Compute
from tests.service.in_process import sample, serving

TEXT = "a fine film and a great story"  # 9 tokens
DEPTHS = {"serial": 9, "parallel": 4}


@pytest.fixture
def fastest(request: pytest.FixtureRequest) -> str:
    """What the worker is taken to have found fastest."""
    return cast(str, getattr(request, "param", "parallel"))


@pytest.fixture
def client(weights: Path, fastest: str) -> Iterator[TestClient]:
    def choose(compute: Compute) -> None:
        chosen = replace(compute.models["mingru"], schedule=cast(Any, fastest))
        compute.models["mingru"] = chosen

    with serving(weights, ["lstm", "mingru"], prepare=choose) as client:
        yield client


def classify(client: TestClient, **body: Any) -> dict[str, Any]:
    answer = client.post("/v1/classify", json={"inputs": TEXT} | body)
    assert answer.status_code == 200, answer.text
    return cast(dict[str, Any], answer.json())


def forwards(client: TestClient, model: str, schedule: str) -> bool:
    """Whether the metrics know of a forward of that model under that schedule."""
    labels = {"batch_bucket": "1", "length_bucket": "1-16", "model": model, "schedule": schedule}
    return sample(client, "lockstep_forward_duration_seconds_count", **labels) == 1


@pytest.mark.parametrize("fastest", ["serial", "parallel"], indirect=True)
def test_auto_is_the_schedule_that_the_worker_found_fastest(
    client: TestClient, fastest: str
) -> None:
    answer = classify(client, model="mingru")
    assert (answer["schedule"], answer["timing"]["sequential_depth"]) == (fastest, DEPTHS[fastest])
    assert forwards(client, "mingru", fastest)
    assert classify(client, model="mingru", schedule="auto")["schedule"] == fastest


def test_named_schedule_is_the_one_that_runs(client: TestClient) -> None:
    scores = []
    for schedule, depth in DEPTHS.items():
        answer = classify(client, model="mingru", schedule=schedule)
        assert (answer["schedule"], answer["timing"]["sequential_depth"]) == (schedule, depth)
        assert forwards(client, "mingru", schedule)
        scores.append(answer["results"][0]["scores"])
    assert scores[0] == pytest.approx(scores[1], abs=1e-6)


def test_model_with_one_order_answers_without_a_schedule(client: TestClient) -> None:
    assert classify(client, model="lstm", schedule="auto")["schedule"] is None
    assert forwards(client, "lstm", "")


@pytest.mark.parametrize(
    ("model", "schedule", "known"),
    [
        ("lstm", "parallel", "lstm runs only under: auto"),
        ("lstm", "serial", "lstm runs only under: auto"),
        ("mingru", "sideways", "'auto', 'serial' or 'parallel'"),
    ],
)
def test_schedule_that_a_model_has_not_is_refused(
    client: TestClient, model: str, schedule: str, known: str
) -> None:
    body = {"inputs": TEXT, "model": model, "schedule": schedule}
    answer = client.post("/v1/classify", json=body)
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (422, "invalid")
    assert problem["errors"][0]["loc"] == ["schedule"]
    assert known in problem["errors"][0]["message"]


def test_models_list_their_schedules(client: TestClient) -> None:
    models = {model["name"]: model for model in client.get("/v1/models").json()["models"]}
    assert models["mingru"]["schedules"] == {"serial": 128, "parallel": 7}
    assert models["lstm"]["schedules"] == {}

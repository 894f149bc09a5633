"""Replays after the answer: paired metrics, and nothing of a client's touched."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from models import folder as folders
from service.api.catalogue import check_shadows
from service.settings import ShadowRule
from tests.launch import eventually
from tests.service.in_process import WAIT_SECONDS, sample, serving
from tests.small import write_model

NAMES = ["lstm", "transformer"]
PAIR = {"primary": "transformer", "shadow": "lstm"}


@pytest.fixture
def client(weights: Path) -> Iterator[TestClient]:
    with serving(weights, NAMES, shadow="transformer=lstm:1") as client:
        yield client


def replays(client: TestClient) -> float:
    """Texts that both have read."""
    name = "lockstep_shadow_agreements_total"
    return sum(sample(client, name, agree=agree, **PAIR) for agree in ("true", "false"))


def ask(client: TestClient, model: str, *texts: str) -> dict[str, object]:
    answer = client.post("/v1/classify", json={"inputs": list(texts), "model": model})
    found: dict[str, object] = answer.json()
    return found


def test_shadow_reads_what_its_primary_was_asked(client: TestClient) -> None:
    texts = ("a fine film", "awful")
    primary = ask(client, "transformer", *texts)
    eventually(lambda: replays(client) == 2, WAIT_SECONDS)
    given = [ask(client, name, *texts)["results"] for name in NAMES]
    labels = [[result["label"] for result in results] for results in given]  # type: ignore[attr-defined]
    agreed = sum(one == other for one, other in zip(*labels, strict=True))
    assert sample(client, "lockstep_shadow_agreements_total", agree="true", **PAIR) >= agreed
    assert primary["model"] == "transformer"


def test_ratio_is_observed_under_the_length_of_the_text(client: TestClient) -> None:
    ask(client, "transformer", "a fine film " * 6)  # 20 tokens, and the window is 8
    eventually(lambda: replays(client) == 1, WAIT_SECONDS)
    name = "lockstep_shadow_forward_ratio_count"
    assert sample(client, name, length_bucket="17-32", **PAIR) == 1


def test_shadow_feeds_no_metric_of_clients(client: TestClient) -> None:
    ask(client, "transformer", "a fine film")
    eventually(lambda: replays(client) == 1, WAIT_SECONDS)
    assert sample(client, "lockstep_model_flops_total", model="lstm") == 0
    assert sample(client, "lockstep_stage_duration_seconds_count", model="lstm", stage="queue") == 0


def test_model_without_a_rule_has_no_shadow(client: TestClient) -> None:
    ask(client, "lstm", "a fine film")
    ask(client, "transformer", "a fine film")
    eventually(lambda: replays(client) == 1, WAIT_SECONDS)
    assert sample(client, "lockstep_shadow_dropped_total", **PAIR) == 0


def test_replays_under_traffic_are_dropped_and_counted(client: TestClient) -> None:
    for _ in range(20):
        ask(client, "transformer", "a fine film")
    eventually(
        lambda: replays(client) + sample(client, "lockstep_shadow_dropped_total", **PAIR) == 20,
        WAIT_SECONDS,
    )
    assert sample(client, "lockstep_shadow_dropped_total", **PAIR) > 0


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (ShadowRule("lstm", "cnn", 0.5), "cnn isn't served"),
        (ShadowRule("cnn", "lstm", 0.5), "cnn isn't served"),
        (ShadowRule("lstm", "stars", 0.5), "other labels"),
    ],
)
def test_rule_that_cannot_work_is_refused(weights: Path, rule: ShadowRule, message: str) -> None:
    write_model(weights, "lstm")
    write_model(weights, "stars", labels=["one", "two"])
    with pytest.raises(ValueError, match=message):
        check_shadows([rule], folders.discover(weights))

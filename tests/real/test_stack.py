"""compose.yaml's service and Prometheus, together on a real engine, under real texts."""

from __future__ import annotations

import json
import subprocess

import httpx
import pytest

from tests.launch import require
from tests.real.conftest import LONG, MODELS, RESTARTED, SHORT, Observed
from tests.real.stack import Stack
from tests.real.traffic import TIMEOUT_SECONDS

pytestmark = pytest.mark.real

STAGES = {"parse", "tokenize", "queue", "batch", "forward", "respond"}
NAMES = {model for model, _ in MODELS}
REQUESTS = 'lockstep_request_duration_seconds_count{job="lockstep"} > 0'


def labels(observed: Observed, query: str) -> list[dict[str, str]]:
    """Of every series that answers."""
    return [sample.labels for sample in observed.prometheus.ask(query, observed.at)]


def test_stack_comes_up_healthy(stack: Stack) -> None:
    listing = stack.compose("ps", "--format", "json").splitlines()
    states = {one["Service"]: one["Health"] for one in map(json.loads, listing)}
    assert states == {"lockstep": "healthy", "prometheus": "healthy"}


def test_stack_is_confined(stack: Stack) -> None:
    limits = "{{.HostConfig.ReadonlyRootfs}} {{.HostConfig.CapDrop}} {{.HostConfig.SecurityOpt}}"
    found = stack.engine.docker("inspect", "--format", limits, *stack.compose("ps", "-q").split())
    assert found.splitlines() == ["true [ALL] [no-new-privileges:true]"] * 2


def test_prometheus_counts_every_text_that_was_posted(observed: Observed) -> None:
    assert sum(observed.posted.values()) == SHORT + LONG >= 1000
    assert observed.counted == observed.posted


def test_prometheus_knows_every_route_and_every_error(observed: Observed) -> None:
    found = labels(observed, REQUESTS)
    answered = {one["route"] for one in found if one["code"] == "200"}
    assert answered >= {"/v1/classify", "/v1/compare", "/v1/gap", "/v1/models", "/metrics"}
    assert {one["code"] for one in found} >= {"200", "404", "415", "422", "429", "503", "504"}


def test_prometheus_knows_why_requests_were_refused(observed: Observed) -> None:
    found = labels(observed, "lockstep_rejections_total > 0")
    expected = {"busy", "client_gone", "deadline", "invalid", "worker_lost"}
    assert {one["reason"] for one in found} >= expected


def test_prometheus_has_every_stage(observed: Observed) -> None:
    found = labels(observed, 'lockstep_stage_duration_seconds_bucket{le="+Inf"} > 0')
    pairs = {(one["model"], one["stage"]) for one in found}
    assert pairs == {(model, stage) for model in NAMES for stage in STAGES}


def test_prometheus_has_forwards_by_length(observed: Observed) -> None:
    found = labels(observed, 'lockstep_forward_duration_seconds_bucket{le="+Inf"} > 0')
    for model in NAMES:
        lengths = {one["length_bucket"] for one in found if one["model"] == model}
        assert lengths >= {"1-16", "33-64", "129-256"}, model
    assert {one["batch_bucket"] for one in found} <= {"1", "2-4", "5-16", "17+"}


def test_metrics_pass_promtool(observed: Observed) -> None:
    scrape = httpx.get(f"{observed.stack.base_url}/metrics", timeout=TIMEOUT_SECONDS)
    command = [require("promtool"), "check", "metrics"]
    done = subprocess.run(
        command, input=scrape.raise_for_status().content, capture_output=True, check=False
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, b"")


def test_alert_of_a_killed_worker_resolves(observed: Observed) -> None:
    """Last here: a minute passes between the kill and this."""
    prometheus = observed.prometheus
    prometheus.until(lambda: RESTARTED not in prometheus.firing(), "it fires on", 180)
    fired = labels(observed, f'ALERTS{{alertname="{RESTARTED}", alertstate="firing"}}')
    assert [one["device"] for one in fired] == ["cpu"]
    body = {"inputs": "fine", "model": "lstm"}
    url = f"{observed.stack.base_url}/v1/classify"
    assert httpx.post(url, json=body, timeout=TIMEOUT_SECONDS).status_code == 200

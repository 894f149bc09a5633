"""Names, labels, buckets; every series there from the start."""

from __future__ import annotations

import pytest

from service.observe.metrics import REJECTIONS, Metrics
from service.observe.timing import STAGES, Stamps, server_timing, stage_seconds


def test_series_known_beforehand_start_at_zero() -> None:
    text = Metrics({"lstm": ["negative", "positive"]}, ["/v1/classify"]).render().decode()
    for reason in REJECTIONS:
        assert f'lockstep_rejections_total{{reason="{reason}"}} 0.0' in text
    for stage in STAGES:
        assert f'lockstep_stage_duration_seconds_count{{model="lstm",stage="{stage}"}} 0.0' in text
    assert 'lockstep_predictions_total{label="positive",model="lstm"} 0.0' in text
    assert "_created" not in text


def test_forward_is_observed_under_its_buckets() -> None:
    metrics = Metrics({"lstm": []}, [])
    metrics.ride("lstm", "", 0.002, length=20, rows=3)
    labels = {"model": "lstm", "schedule": "", "length_bucket": "17-32", "batch_bucket": "2-4"}
    name = "lockstep_forward_duration_seconds_sum"
    assert metrics.registry.get_sample_value(name, labels) == 0.002


def test_batch_facts_add_up() -> None:
    metrics = Metrics({"lstm": []}, [])
    for _ in range(2):
        metrics.batch(
            "lstm", rows=2, tokens=30, padding=4, forward_seconds=0.5, flops=1000, steps=34
        )
        metrics.busy("cpu", 0.75)
    sample = metrics.registry.get_sample_value
    assert sample("lockstep_model_flops_total", {"model": "lstm"}) == 2000
    assert sample("lockstep_model_forward_seconds_total", {"model": "lstm"}) == 1.0
    assert sample("lockstep_sequential_steps_total", {"model": "lstm"}) == 68
    assert sample("lockstep_padding_tokens_total", {"model": "lstm"}) == 8
    assert sample("lockstep_worker_busy_seconds_total", {"device": "cpu"}) == 1.5


def test_model_is_told_of_as_it_is_served_now() -> None:
    metrics = Metrics({"lstm": []}, [])
    for dtype in ("float32", "bfloat16"):
        metrics.model("lstm", "lstm", "cpu", dtype, "abc", 0.5)
    metrics.model_gone("lstm", "lstm", "cpu", "float32", "abc")
    found = {
        sample.labels["dtype"]: sample.value
        for family in metrics.registry.collect()
        if family.name == "lockstep_model_info"
        for sample in family.samples
    }
    assert found == {"float32": 0, "bfloat16": 1}


def test_stages_sum_to_the_total() -> None:
    stages = stage_seconds(
        Stamps(received=10.0, parsed=10.001, admitted=10.003), 0.002, 0.01, 10.02, 10.021
    )
    assert tuple(stages) == STAGES
    assert sum(stages.values()) == pytest.approx(10.021 - 10.0)
    assert stages["queue"] == pytest.approx(0.005)


def test_server_timing_is_in_milliseconds() -> None:
    header = server_timing({"parse": 0.000112, "forward": 0.0025})
    assert header == "parse;dur=0.112, forward;dur=2.500, total;dur=2.612"

"""What forwards cost, measured on small models."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from models.checkpoint import PADDED_TOKENS
from service.engine import measure as measuring
from service.engine.compute import Compute
from service.engine.loading import batch_limits
from service.engine.measure import Shape, measure, observe_at_load, within
from tests.small import write_model

NAMES = ("lstm", "mingru", "transformer")


@pytest.fixture
def compute(weights: Path) -> Compute:
    for name in NAMES:
        write_model(weights, name, architecture=name)
    return Compute(weights, NAMES, "cpu", "float32", torch.get_num_threads())


def test_every_model_and_schedule_is_measured_at_load(compute: Compute) -> None:
    costs = observe_at_load(compute, 4096).costs()
    assert set(costs) == {
        ("lstm", None),
        ("mingru", "serial"),
        ("mingru", "parallel"),
        ("transformer", None),
    }
    assert all(cost.seconds(1, 16) > 0 for cost in costs.values())
    assert [key[0] for key, cost in costs.items() if not cost.padded] == ["transformer"]


def test_model_whose_forward_fails_is_served_with_costs_unknown(
    compute: Compute, caplog: pytest.LogCaptureFixture
) -> None:
    with torch.no_grad():
        compute.models["lstm"].classifier.head.weight.fill_(math.nan)
    assert ("lstm", None) not in observe_at_load(compute, 4096).costs()
    assert "lstm gave logits that aren't numbers" in caplog.text


def test_model_too_large_for_its_gpu_there_is_served_with_costs_unknown(
    compute: Compute, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*arguments: object) -> dict[Shape, float]:
        raise torch.OutOfMemoryError("no memory left")

    monkeypatch.setattr(measuring, "measure", full)
    assert observe_at_load(compute, 4096).costs() == {}
    assert "a forward of lstm costs isn't known: no memory left" in caplog.text


def test_no_forward_at_load_is_larger_than_a_batch_may_be(
    compute: Compute, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Shape] = []

    def measured(
        compute: Compute, model: str, schedule: str | None, shapes: list[Shape], *others: float
    ) -> dict[Shape, float]:
        seen.extend(shapes)
        return {}

    monkeypatch.setattr(measuring, "measure", measured)
    observe_at_load(compute, 96)
    assert set(seen) == {(1, 16), (1, 128), (6, 16), (1, 512)}
    assert [within((256, 16), bound) for bound in (65_536, 100, 8)] == [(256, 16), (6, 16), (1, 16)]


def test_shape_is_cut_to_the_window(compute: Compute) -> None:
    found = measure(compute, "transformer", None, [(2, 4), (2, 512)], rounds=1)
    assert list(found) == [(2, 4), (2, 8)]


def test_least_of_the_rounds_counts(compute: Compute, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, *[0.0, 5.0, 9.0], *[10.0, 12.0, 19.0], *[20.0, 23.0, 29.0]])
    monkeypatch.setattr("time.perf_counter", lambda: next(clock))
    assert measure(compute, "lstm", None, [(1, 4)], rounds=3) == {(1, 4): 2.0}


def test_busy_machine_is_measured_once(compute: Compute, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 0.0, 5.0, 9.0])
    monkeypatch.setattr("time.perf_counter", lambda: next(clock))
    found = measure(compute, "lstm", None, [(1, 4)], rounds=3, give_up_seconds=1.0)
    assert found == {(1, 4): 5.0}


def test_bound_of_a_batch_is_the_setting_or_what_suits_the_device(compute: Compute) -> None:
    assert batch_limits(compute, 96).padded_tokens == 96
    assert batch_limits(compute, None).padded_tokens == PADDED_TOKENS["cpu"]

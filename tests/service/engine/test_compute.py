"""What a worker settles as it loads a model, and how it runs one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from models.base import Classifier, Schedule
from service.engine import compute as module
from service.engine.compute import Compute, choose_schedule
from service.engine.worker import greeting
from tests.small import write_model

WINDOWS = [[2, 5, 6, 7, 8, 9, 3], [2, 12, 3]]


@pytest.fixture
def compute(weights: Path) -> Compute:
    for name in ("lstm", "mingru"):
        write_model(weights, name, architecture=name)
    return Compute(weights, ["lstm", "mingru"], "cpu", "float32", torch.get_num_threads())


def pretend(monkeypatch: pytest.MonkeyPatch, seconds: dict[str, list[float]]) -> None:
    """A forward under a schedule takes what is listed for it, in turn."""

    def taken(
        classifier: Classifier, shape: tuple[int, int], schedule: Schedule | None = None
    ) -> float:
        return seconds[str(schedule)].pop(0)

    monkeypatch.setattr(module, "_forward_seconds", taken)


@pytest.mark.parametrize(("serial", "parallel"), [(0.001, 0.002), (0.002, 0.001)])
def test_faster_schedule_is_chosen_whatever_one_slow_forward_says(
    compute: Compute, monkeypatch: pytest.MonkeyPatch, serial: float, parallel: float
) -> None:
    faster = "serial" if serial < parallel else "parallel"
    first = [9.0]  # sets things up: not counted
    seconds = {"serial": first + [serial] * 5, "parallel": first + [parallel] * 5}
    seconds[faster][3] = 1.0
    pretend(monkeypatch, seconds)
    assert choose_schedule(compute.models["mingru"].classifier) == faster


def test_model_with_one_order_has_no_schedule_to_choose(compute: Compute) -> None:
    assert choose_schedule(compute.models["lstm"].classifier) is None
    assert compute.models["lstm"].schedule is None


def test_worker_tells_what_it_chose(compute: Compute) -> None:
    hello = greeting(compute, replaces=False)
    assert compute.models["mingru"].schedule in ("serial", "parallel")
    assert hello.fastest_schedule("mingru") == compute.models["mingru"].schedule
    assert hello.fastest_schedule("lstm") is None
    assert hello.dtype("lstm") == "float32"


def test_memory_is_that_of_the_process(compute: Compute) -> None:
    assert 50e6 < compute.memory_bytes() < 50e9


def test_schedules_give_the_same_logits_at_another_depth(compute: Compute) -> None:
    logits = [compute.run("mingru", name, WINDOWS).logits for name in ("serial", "parallel")]
    torch.testing.assert_close(torch.tensor(logits[0]), torch.tensor(logits[1]))
    depths = [compute.sequential_depth("mingru", 7, name) for name in ("serial", "parallel")]
    assert depths == [7, 3]

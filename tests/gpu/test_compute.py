"""A worker's half of the service on a GPU: loading, one batch, its stamps. No HTTP."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from service.engine.compute import Compute
from service.observe.timing import now
from tests.small import write_model

pytestmark = [pytest.mark.gpu, pytest.mark.usefixtures("every_digit")]

MODELS = ["lstm", "mingru", "transformer"]
WINDOWS = [[2, 5, 6, 7, 8, 9, 3], [2, 12, 3]]


def load(weights: Path, device: str, dtype: str) -> Compute:
    for name in MODELS:
        if not (weights / name).exists():
            write_model(weights, name, architecture=name)
    return Compute(weights, MODELS, device, dtype, torch.get_num_threads())


@pytest.mark.parametrize("dtype", ["float32", "auto"])
@pytest.mark.parametrize("model", MODELS)
def test_a_batch_gets_the_logits_of_the_cpu(weights: Path, model: str, dtype: str) -> None:
    expected = load(weights, "cpu", "float32")
    compute = load(weights, "cuda", dtype)
    assert compute.device.type == "cuda"
    for schedule in compute.models[model].classifier.encoder.schedules or (None,):
        answer = torch.tensor(compute.run(model, schedule, WINDOWS).logits)
        wanted = torch.tensor(expected.run(model, schedule, WINDOWS).logits)
        tolerance = 1e-3 if compute.models[model].dtype == "float32" else 0.05
        torch.testing.assert_close(answer, wanted, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("model", MODELS)
def test_stamps_of_a_batch_follow_one_another(weights: Path, model: str) -> None:
    compute = load(weights, "cuda", "float32")
    for _ in range(20):
        before = now()
        result = compute.run(model, compute.models[model].schedule, WINDOWS)
        # An event's own clock counts in half microseconds.
        assert before - 2e-6 <= result.on_device < result.finished <= now()


def test_forward_holds_all_that_the_gpu_did(weights: Path) -> None:
    compute = load(weights, "cuda", "float32")
    long = [[2, *[5] * 3000, 3]]
    compute.run("lstm", None, long)
    result = compute.run("lstm", None, long)
    short = compute.run("lstm", None, WINDOWS)
    # 3,002 steps in a row: a clock that didn't wait for them would see a launch alone.
    assert result.finished - result.on_device > short.finished - short.on_device


def test_memory_is_that_of_the_gpu(weights: Path) -> None:
    compute = load(weights, "cuda", "float32")
    assert compute.memory_bytes() == torch.cuda.memory_reserved()
    assert compute.memory_bytes() > 0

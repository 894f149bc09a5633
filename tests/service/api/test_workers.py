"""What several workers tell of themselves, as metrics: sums, and who is there now."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest

from service.api.catalogue import Catalogue
from service.api.workers import WorkerObserver
from service.engine.wire import BatchFacts, Hello, ServedModel, WorkerState
from service.observe.metrics import Metrics


@pytest.fixture
def metrics() -> Metrics:
    return Metrics({"lstm": [], "cnn": []}, [])


@pytest.fixture
def observer(metrics: Metrics) -> WorkerObserver:
    folder = SimpleNamespace(architecture="lstm", sha256={"weights": "abc"})
    folders = {"lstm": folder, "cnn": folder}
    return WorkerObserver(metrics, cast(Catalogue, SimpleNamespace(folders=folders)))


def hello(device: str, dtype: str = "float32", replaces: int = 0) -> Hello:
    return Hello(1, device, "2.13.0", [ServedModel("lstm", dtype, 0.5)], replaces)


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(f"lockstep_{name}", labels)


def info(metrics: Metrics) -> dict[tuple[str, str], float]:
    return {
        (sample.labels["device"], sample.labels["dtype"]): sample.value
        for family in metrics.registry.collect()
        if family.name == "lockstep_model_info"
        for sample in family.samples
    }


def test_two_workers_on_one_device_add_up(metrics: Metrics, observer: WorkerObserver) -> None:
    for worker in (0, 1):
        observer.hello(worker, hello("cpu"))
    observer.state(0, WorkerState({"lstm": 3}, 1000))
    observer.state(1, WorkerState({"lstm": 4, "cnn": 1}, 500))
    assert value(metrics, "queue_depth", model="lstm") == 7
    assert value(metrics, "queue_depth", model="cnn") == 1
    assert value(metrics, "device_memory_bytes", device="cpu") == 1500
    observer.state(1, WorkerState({}, 600))
    assert value(metrics, "queue_depth", model="lstm") == 3
    assert value(metrics, "queue_depth", model="cnn") == 0
    assert value(metrics, "device_memory_bytes", device="cpu") == 1600


def test_what_a_lost_worker_held_is_held_no_more(
    metrics: Metrics, observer: WorkerObserver
) -> None:
    for worker in (0, 1):
        observer.hello(worker, hello(f"cuda:{worker}"))
        observer.state(worker, WorkerState({"lstm": 2}, 1000))
    observer.lost(0)
    assert value(metrics, "queue_depth", model="lstm") == 2
    assert value(metrics, "device_memory_bytes", device="cuda:0") == 0
    assert value(metrics, "device_memory_bytes", device="cuda:1") == 1000


def test_busy_seconds_are_those_of_the_worker_that_ran(
    metrics: Metrics, observer: WorkerObserver
) -> None:
    for worker in (0, 1):
        observer.hello(worker, hello(f"cuda:{worker}"))
    observer.batch(0, BatchFacts("lstm", None, 1, 4, 0, 0.25, 0.5, 100, 8, "shadow"))
    assert value(metrics, "worker_busy_seconds_total", device="cuda:0") == 0.75
    assert value(metrics, "worker_busy_seconds_total", device="cuda:1") == 0


def test_worker_in_place_of_several_that_died_counts_them(
    metrics: Metrics, observer: WorkerObserver
) -> None:
    observer.hello(0, hello("cpu", replaces=3))
    assert value(metrics, "worker_restarts_total", device="cpu") == 3


def test_model_is_told_of_as_any_worker_serves_it_now(
    metrics: Metrics, observer: WorkerObserver
) -> None:
    for worker in (0, 1):
        observer.hello(worker, hello(f"cuda:{worker}"))
    assert info(metrics) == {("cuda:0", "float32"): 1, ("cuda:1", "float32"): 1}
    observer.hello(0, hello("cuda:0", "bfloat16"))
    assert info(metrics)["cuda:0", "float32"] == 0
    assert info(metrics)["cuda:0", "bfloat16"] == info(metrics)["cuda:1", "float32"] == 1


def test_model_that_another_worker_serves_alike_is_not_gone(
    metrics: Metrics, observer: WorkerObserver
) -> None:
    for worker in (0, 1):
        observer.hello(worker, hello("cpu"))
    observer.hello(0, hello("cpu", "bfloat16"))
    assert info(metrics) == {("cpu", "float32"): 1, ("cpu", "bfloat16"): 1}

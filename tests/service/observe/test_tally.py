"""Values gathered before they go into their metrics: none is lost, none counts otherwise."""

from __future__ import annotations

import asyncio
import random
import time

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import generate_latest

from service.observe.metrics import Metrics
from service.observe.tally import FOLD_SECONDS, Tally, observe_all

BOUNDS = (0.1, 0.25, 1.0)
HANG_SECONDS = 20


def histogram(registry: CollectorRegistry) -> Histogram:
    return Histogram("h", "of a test", ["model"], buckets=BOUNDS, registry=registry)


def test_many_values_are_observed_as_one_by_one() -> None:
    generator = random.Random(1)
    values = [*BOUNDS, 0.0, 7.0, *(generator.uniform(0, 2) for _ in range(200))]
    one, all_ = CollectorRegistry(), CollectorRegistry()
    child = histogram(one).labels("lstm")
    for value in values:
        child.observe(value)
    observe_all(histogram(all_).labels("lstm"), values)

    def shown(registry: CollectorRegistry) -> list[bytes]:
        lines = generate_latest(registry).splitlines()
        return [line for line in lines if not line.startswith((b"h_created", b"h_sum"))]

    assert shown(one) == shown(all_)
    sums = [registry.get_sample_value("h_sum", {"model": "lstm"}) for registry in (one, all_)]
    assert sums[0] is not None
    assert sums[1] is not None
    assert abs(sums[0] - sums[1]) < 1e-9


def test_without_a_loop_each_value_is_there_at_once() -> None:
    registry, tally = CollectorRegistry(), Tally()
    tally.observe(histogram(registry).labels("lstm"), 0.2)
    tally.add(Counter("c", "of a test", registry=registry), 3)
    assert registry.get_sample_value("h_count", {"model": "lstm"}) == 1
    assert registry.get_sample_value("c_total") == 3


def test_gathered_values_come_with_the_fold_and_once() -> None:
    async def test() -> None:
        registry, tally = CollectorRegistry(), Tally()
        tally.gather(asyncio.get_running_loop())
        series, gauge = (
            histogram(registry).labels("lstm"),
            Gauge("g", "of a test", registry=registry),
        )
        for change in (1, 1, -1):
            tally.add(gauge, change)
            tally.observe(series, 0.2)
        assert registry.get_sample_value("h_count", {"model": "lstm"}) == 0
        for _ in range(2):
            tally.fold()
            assert registry.get_sample_value("h_count", {"model": "lstm"}) == 3
            assert registry.get_sample_value("g") == 1

    asyncio.run(test())


def test_gathered_values_are_folded_soon_though_nobody_asks() -> None:
    async def test() -> None:
        registry, tally = CollectorRegistry(), Tally()
        tally.gather(asyncio.get_running_loop())
        counter = Counter("c", "of a test", registry=registry)
        for total in (1, 2):  # the second begins a moment of its own
            tally.add(counter)
            began = time.monotonic()
            while registry.get_sample_value("c_total") != total:
                await asyncio.sleep(FOLD_SECONDS / 5)
                assert time.monotonic() - began < HANG_SECONDS

    asyncio.run(test())


def test_what_cannot_be_counted_is_lost_alone() -> None:
    async def test() -> None:
        registry, tally = CollectorRegistry(), Tally()
        tally.gather(asyncio.get_running_loop())
        counter = Counter("c", "of a test", registry=registry)
        tally.add(counter, -1)
        with pytest.raises(ValueError, match="non-negative"):
            tally.fold()
        tally.add(counter, 2)
        tally.close()
        tally.add(counter, 3)  # straight in again
        assert registry.get_sample_value("c_total") == 5

    asyncio.run(test())


def test_metrics_show_all_that_was_recorded_before_the_fold() -> None:
    async def test() -> bytes:
        metrics = Metrics({"lstm": ["negative", "positive"]}, ["/v1/classify"])
        metrics.gather(asyncio.get_running_loop())
        metrics.verdict("lstm", "positive", 0.9)
        assert b'lockstep_predictions_total{label="positive",model="lstm"} 0.0' in metrics.render()
        metrics.fold()
        return metrics.render()

    assert b'lockstep_predictions_total{label="positive",model="lstm"} 1.0' in asyncio.run(test())

"""Ratios, quantiles and FLOP/s out of histograms."""

from __future__ import annotations

import pytest

from service.observe.gap import gap, quantile
from service.observe.reading import HistogramCell

INFINITE = float("inf")


def cell(model: str, seconds: float, count: int, schedule: str = "") -> HistogramCell:
    labels = {"model": model, "schedule": schedule, "length_bucket": "17-32", "batch_bucket": "1"}
    return HistogramCell(labels, count, seconds, [(0.001, 0), (0.01, count), (INFINITE, count)])


def test_quantile_lies_between_its_edges() -> None:
    one = HistogramCell({}, 100, 1.0, [(0.001, 0), (0.002, 40), (0.005, 90), (INFINITE, 100)])
    assert quantile(one, 0.4) == {"ms": 2.0, "from_ms": 1.0, "to_ms": 2.0}
    assert quantile(one, 0.5) == {"ms": 2.6, "from_ms": 2.0, "to_ms": 5.0}


def test_quantile_past_the_last_edge_is_unknown() -> None:
    one = HistogramCell({}, 100, 1.0, [(0.001, 90), (INFINITE, 100)])
    assert quantile(one, 0.99) == {"ms": None, "from_ms": 1.0, "to_ms": None}


def test_ratio_is_of_means_at_one_place() -> None:
    cells = [cell("lstm", 0.06, 10), cell("transformer", 0.04, 20), cell("cnn", 0.0, 0)]
    answer = gap(cells, {}, "transformer")
    found = {one["model"]: (one["mean_ms"], one["ratio"]) for one in answer["forwards"]}
    assert found == {"lstm": (6.0, 3.0), "transformer": (2.0, 1.0)}


def test_ratio_is_none_where_the_baseline_was_never_there() -> None:
    (one,) = gap([cell("lstm", 0.06, 10)], {}, "transformer")["forwards"]
    assert one["ratio"] is None


def test_baseline_with_two_schedules_is_taken_over_both() -> None:
    cells = [cell("mingru", 0.01, 10, "serial"), cell("mingru", 0.03, 10, "parallel")]
    answer = gap(cells, {}, "mingru")
    assert {one["schedule"]: one["ratio"] for one in answer["forwards"]} == {
        "serial": pytest.approx(0.5),
        "parallel": pytest.approx(1.5),
    }


def test_achieved_flops_are_over_forward_seconds() -> None:
    models = gap([], {"lstm": (3e9, 1.5), "cnn": (0.0, 0.0)}, "lstm")["models"]
    assert models["lstm"]["flops_per_second"] == 2e9
    assert models["cnn"]["flops_per_second"] is None

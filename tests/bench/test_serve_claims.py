"""Medians, ratios of the same round, and what they are held against."""

from __future__ import annotations

import pytest

from bench.batching import Latency
from bench.comparison import Comparison
from bench.serve_claims import (
    BESTS,
    BORROWED,
    DEFAULTS,
    OFFLINE,
    OURS,
    claims,
    median,
    p99,
    per_second,
    ratio,
    with_its_forward,
)
from bench.turns import Turn
from bench.workloads import WORKLOADS


def turn(rate: float, tail: float = 1.0) -> Turn:
    """Of one second."""
    latency = Latency(10, tail / 2, tail, tail)
    kinds = {"short": latency, "long": latency}
    return Turn(round(rate), 1.0, latency, kinds, {}, "", 0.0)


def comparison(workload: str, model: str = "minilm", *, free: bool = False) -> Comparison:
    return Comparison(model, free, "bfloat16", None, WORKLOADS[workload])


def test_ratio_is_the_median_of_rounds_in_pairs() -> None:
    one = comparison("mixed")
    one.turns[OURS, 32] = [turn(100), turn(10), turn(90)]
    one.turns[DEFAULTS[0], 32] = [turn(10), turn(2), turn(30)]
    assert median(one, OURS, 32, per_second) == 90
    assert ratio(one, DEFAULTS[0], 32, per_second) == 5  # of 10, 5 and 3
    one.turns[DEFAULTS[0], 32].pop()  # too slow to be done again
    assert ratio(one, DEFAULTS[0], 32, per_second) == 7.5
    assert ratio(one, DEFAULTS[1], 32, per_second) is None
    assert median(one, OURS, 8, p99) is None


def test_offline_limit_counts_texts_where_requests_hold_many() -> None:
    one = comparison("lists")
    one.turns[OURS, 32] = [turn(9)]
    one.offline = [320.0]
    assert ratio(one, OFFLINE, 32, per_second) == pytest.approx(0.9)


def test_targets_are_held_against_what_was_measured() -> None:
    one = comparison("mixed")
    one.turns[OURS, 32] = [turn(70, tail=0.4)]
    one.turns[DEFAULTS[0], 32] = [turn(10)]
    one.turns[DEFAULTS[1], 32] = [turn(11)]
    one.turns[BESTS[0], 32] = [turn(71, tail=1.0)]
    one.offline = [80.0]
    found = {claim.what: (claim.aim, claim.met) for claim in claims([one])}
    at = "minilm, mixed, 32 clients: "
    assert found == {
        f"{at}requests/s over those of FastAPI": ("at least 7", True),
        f"{at}requests/s over those of LitServe": ("at least 7", False),
        f"{at}requests/s over those of FastAPI, best": ("at least 1", False),
        f"{at}p99 of short texts over those of FastAPI, best": ("at most 0.5", True),
        f"{at}requests/s over those of the offline limit": ("at least 0.85", True),
    }


def test_servers_that_run_its_forward_are_told_of_and_held_to_nothing() -> None:
    one = comparison("mixed")
    one.turns[OURS, 1] = [turn(30, tail=0.4)]
    one.turns[OURS, 32] = [turn(60, tail=0.4), turn(70, tail=0.4)]
    one.turns[BORROWED[0], 32] = [turn(50, tail=0.5), turn(100, tail=0.8)]
    one.turns[BORROWED[1], 1] = [turn(60)]
    assert claims([one]) == []
    alone, crowd = with_its_forward([one])
    assert (alone.where, alone.against) == ("minilm, mixed, 1 client", BORROWED[1])
    assert (alone.per_second, alone.p99) == (0.5, 0.4)
    assert (crowd.where, crowd.against) == ("minilm, mixed, 32 clients", BORROWED[0])
    assert crowd.per_second == pytest.approx((1.2 + 0.7) / 2)
    assert crowd.p99 == crowd.short_p99 == pytest.approx((0.8 + 0.5) / 2)


def test_growth_is_told_from_saturation_on() -> None:
    one = comparison("short", "gru")
    one.turns[OURS, 8] = [turn(100, tail=0.1)]
    one.turns[OURS, 32] = [turn(98, tail=0.4)]
    assert claims([one]) == []
    one.turns[OURS, 256] = [turn(80, tail=3.0)]
    flat, tail = claims([one])
    assert flat.measured == pytest.approx(0.8)
    assert tail.measured == pytest.approx(3.0 / 0.4 / 8)
    assert [flat.met, tail.met] == [False, True]


def test_free_forward_is_held_against_litserve_alone() -> None:
    one = comparison("short", "lstm", free=True)
    one.turns[OURS, 32] = [turn(50)]
    for name in DEFAULTS:
        one.turns[name, 32] = [turn(10)]
    (claim,) = claims([one])
    assert claim.what.startswith("lstm, free, short, 32 clients: requests/s over those of LitServe")
    assert claim.measured == 5

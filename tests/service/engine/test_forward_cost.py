"""The fit of forwards' times."""

from __future__ import annotations

from dataclasses import astuple, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.engine.forward_cost import (
    KEPT,
    ForwardCost,
    Measured,
    Observations,
    fit,
    relative_errors,
)

SHAPES = [(rows, length) for rows in (1, 4, 16) for length in (16, 64, 256)]
terms = st.sampled_from([0.0, 0.5, 1.0, 4.0])
costs = st.builds(
    lambda start, step, token, pair: ForwardCost(
        1e-3 * start, 1e-5 * step, 1e-5 * (token + 0.1), 1e-8 * pair
    ),
    *[terms] * 4,
)


def of_shape(rows: int, length: int, seconds: float) -> Measured:
    return Measured.of([length] * rows, seconds)


def measured(cost: ForwardCost) -> list[Measured]:
    return [of_shape(*shape, cost.seconds(*shape)) for shape in SHAPES]


def test_cost_is_a_fixed_part_and_a_part_a_row() -> None:
    cost = ForwardCost(start=1.0, step=0.5, token=0.25, pair=0.125)
    assert cost.fixed(4) == 3.0
    assert cost.row(4) == 3.0
    assert cost.seconds(2, 4) == 9.0
    assert cost.of([4, 2]) == 9.0


def test_text_costs_what_its_own_length_does_where_padding_costs_nothing() -> None:
    cost = ForwardCost(start=1.0, step=0.5, token=0.25, pair=0.125, padded=False)
    assert cost.of([4, 2]) == cost.fixed(4) + cost.row(4) + cost.row(2) == 7.0
    assert Measured.of([4, 2], 7.0) == Measured(longest=4, tokens=6, pairs=20, seconds=7.0)


@given(costs)
def test_fit_finds_the_cost_that_made_the_times(cost: ForwardCost) -> None:
    assert astuple(fit(measured(cost))) == pytest.approx(astuple(cost), rel=1e-6, abs=1e-12)


def test_fit_has_no_negative_term() -> None:
    falling = [of_shape(1, 16, 2e-3), of_shape(1, 128, 1e-3), of_shape(16, 16, 3e-3)]
    assert min(astuple(fit(falling))) >= 0.0


def test_few_forwards_are_fitted_too() -> None:
    assert fit([of_shape(1, 16, 0.004)]).seconds(1, 16) == pytest.approx(0.004)
    with pytest.raises(ValueError, match="no forward"):
        fit([])


def test_errors_are_shares_of_what_was_measured() -> None:
    cost = ForwardCost(start=3.0, step=0.0, token=0.0)
    assert relative_errors(cost, [of_shape(1, 1, 2.0), of_shape(1, 1, 4.0)]) == [0.5, 0.25]


COST = ForwardCost(start=1e-3, step=0.0, token=1e-5)


Seen = list[tuple[list[int], float]]  # lengths, and seconds


def seen(cost: ForwardCost, times: int = 1) -> Seen:
    return [([length] * rows, times * cost.seconds(rows, length)) for rows, length in SHAPES]


def observed(forwards: Seen) -> ForwardCost:
    observations = Observations()
    for forward in forwards:
        observations.add(("lstm", None), *forward)
    return observations.costs()["lstm", None]


def test_slow_forwards_of_a_busy_machine_do_not_count() -> None:
    slow = seen(COST, times=9)
    found = observed([*slow, *seen(COST) * 4, *slow])
    assert astuple(found) == pytest.approx(astuple(COST), rel=1e-6, abs=1e-12)


def test_old_forwards_are_forgotten() -> None:
    found = observed(seen(COST) + seen(ForwardCost(2e-3, 0.0, 3e-5)) * KEPT)
    assert found.token == pytest.approx(3e-5)


def test_models_and_schedules_are_told_apart() -> None:
    observations = Observations()
    for key, seconds in {("mingru", "serial"): 2.0, ("mingru", "parallel"): 1.0}.items():
        observations.add(key, [16], seconds)
    costs = observations.costs()
    assert {key: costs[key].seconds(1, 16) for key in costs} == pytest.approx(
        {("mingru", "serial"): 2.0, ("mingru", "parallel"): 1.0}
    )


def test_padding_counts_where_it_is_computed() -> None:
    true = ForwardCost(start=1e-3, step=0.0, token=1e-5)
    mixed = [[300], [20] * 9, [300, 20, 20, 10], [64, 5, 5], [128, 128, 7]]
    observations = Observations(unpadded={"minilm"})
    for model, padded in {"minilm": False, "lstm": True}.items():
        cost = replace(true, padded=padded)
        for lengths in mixed:
            observations.add((model, None), lengths, cost.of(lengths))
        found = observations.cost((model, None))
        assert found.padded is padded
        assert astuple(found) == pytest.approx(astuple(cost), rel=1e-6, abs=1e-12)

"""The fit of forwards' times."""

from __future__ import annotations

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
    to_list,
)

SHAPES = [(rows, length) for rows in (1, 4, 16) for length in (16, 64, 256)]
terms = st.sampled_from([0.0, 0.5, 1.0, 4.0])
costs = st.builds(
    lambda start, step, token, pair: ForwardCost(
        1e-3 * start, 1e-5 * step, 1e-5 * (token + 0.1), 1e-8 * pair
    ),
    *[terms] * 4,
)


def measured(cost: ForwardCost) -> list[Measured]:
    return [Measured(*shape, cost.seconds(*shape)) for shape in SHAPES]


def test_cost_is_a_fixed_part_and_a_part_a_row() -> None:
    cost = ForwardCost(start=1.0, step=0.5, token=0.25, pair=0.125)
    assert cost.fixed(4) == 3.0
    assert cost.row(4) == 3.0
    assert cost.seconds(2, 4) == 9.0


@given(costs)
def test_fit_finds_the_cost_that_made_the_times(cost: ForwardCost) -> None:
    assert to_list(fit(measured(cost))) == pytest.approx(to_list(cost), rel=1e-6, abs=1e-12)


def test_fit_has_no_negative_term() -> None:
    falling = [Measured(1, 16, 2e-3), Measured(1, 128, 1e-3), Measured(16, 16, 3e-3)]
    assert min(to_list(fit(falling))) >= 0.0


def test_few_forwards_are_fitted_too() -> None:
    assert fit([Measured(1, 16, 0.004)]).seconds(1, 16) == pytest.approx(0.004)
    with pytest.raises(ValueError, match="no forward"):
        fit([])


def test_errors_are_shares_of_what_was_measured() -> None:
    cost = ForwardCost(start=3.0, step=0.0, token=0.0)
    assert relative_errors(cost, [Measured(1, 1, 2.0), Measured(1, 1, 4.0)]) == [0.5, 0.25]


COST = ForwardCost(start=1e-3, step=0.0, token=1e-5)


def observed(forwards: list[Measured]) -> ForwardCost:
    observations = Observations()
    for forward in forwards:
        observations.add(("lstm", None), forward)
    return observations.costs()["lstm", None]


def test_slow_forwards_of_a_busy_machine_do_not_count() -> None:
    slow = [Measured(*shape, 9 * COST.seconds(*shape)) for shape in SHAPES]
    seen = [*slow, *measured(COST) * 4, *slow]
    assert to_list(observed(seen)) == pytest.approx(to_list(COST), rel=1e-6, abs=1e-12)


def test_old_forwards_are_forgotten() -> None:
    seen = measured(COST) + measured(ForwardCost(2e-3, 0.0, 3e-5)) * KEPT
    assert observed(seen).token == pytest.approx(3e-5)


def test_models_and_schedules_are_told_apart() -> None:
    observations = Observations()
    for key, seconds in {("mingru", "serial"): 2.0, ("mingru", "parallel"): 1.0}.items():
        observations.add(key, Measured(1, 16, seconds))
    costs = observations.costs()
    assert {key: costs[key].seconds(1, 16) for key in costs} == pytest.approx(
        {("mingru", "serial"): 2.0, ("mingru", "parallel"): 1.0}
    )

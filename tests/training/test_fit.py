"""The plan, the rate and the marks of a run; the run itself is in test_run.py."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch

from training.data import DataError
from training.examples import Example
from training.fit import claim
from training.plan import TrainingSet, joined, one_cycle, plan
from training.recipes import RECIPES, Recipe

RECIPE = Recipe(learning_rate=1e-3, passes=2, batch_rows=4, batch_tokens=64)


def training_set(count: int, weight: float = 1.0) -> TrainingSet:
    generator = random.Random(count)
    return TrainingSet(
        [Example([2] * generator.randint(3, 9), 0) for _ in range(count)], None, weight
    )


def test_plan_sees_every_example_each_pass() -> None:
    planned = plan([training_set(10), training_set(7)], RECIPE)
    positions = [position for batch in planned for position in batch]
    assert sorted(positions) == sorted([*range(17), *range(17)])


def test_plan_sees_a_weighted_source_more_often() -> None:
    planned = plan([training_set(10), training_set(7, weight=3)], RECIPE)
    positions = [position for batch in planned for position in batch]
    assert [positions.count(position) for position in range(17)] == [2] * 10 + [6] * 7


def test_plan_depends_on_its_seed_alone() -> None:
    sources = [training_set(40)]
    other = Recipe(learning_rate=1e-3, passes=2, batch_rows=4, batch_tokens=64, seed=2)
    assert plan(sources, RECIPE) == plan(sources, RECIPE)
    assert plan(sources, RECIPE) != plan(sources, other)


def test_rate_rises_in_a_line_and_falls_along_a_cosine() -> None:
    assert one_cycle(0.05, 0.1) == pytest.approx(0.5)
    assert one_cycle(0.1, 0.1) == pytest.approx(1)
    assert one_cycle(0.55, 0.1) == pytest.approx(0.5)
    assert one_cycle(1.0, 0.1) == pytest.approx(0)
    assert one_cycle(0.0, 0.0) == pytest.approx(1)


def test_first_step_learns_something() -> None:
    assert one_cycle(0.0, 0.1) > 0


def test_sources_with_and_without_a_teacher_dont_mix() -> None:
    with pytest.raises(ValueError, match="every source"):
        joined([torch.zeros(1, 2), None])


def test_every_recipe_is_of_a_registered_architecture() -> None:
    from models.registry import ARCHITECTURES, TEACHERS

    assert set(RECIPES) == {*ARCHITECTURES, *TEACHERS}


def test_claim_lets_the_same_run_go_on(tmp_path: Path) -> None:
    claim(tmp_path / "run", {"seed": 1})
    (tmp_path / "run" / "last.ckpt").touch()
    claim(tmp_path / "run", {"seed": 1})


def test_claim_refuses_another_run(tmp_path: Path) -> None:
    claim(tmp_path / "run", {"seed": 1})
    (tmp_path / "run" / "last.ckpt").touch()
    with pytest.raises(DataError, match="another run: forget them with --restart"):
        claim(tmp_path / "run", {"seed": 2})


def test_claim_takes_over_a_run_that_kept_nothing(tmp_path: Path) -> None:
    claim(tmp_path / "run", {"seed": 1})
    claim(tmp_path / "run", {"seed": 2})
    (tmp_path / "run" / "last.ckpt").touch()
    with pytest.raises(DataError):
        claim(tmp_path / "run", {"seed": 1})

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.training.test_plots import PROBE, PROBES
from training.data import Row
from training.probe import Probe
from training.probed import conditions, figures, keep, kept

ROWS = [Row("great film", "1"), Row("dull", "0")]
UNDER = conditions("a/dev", ROWS, "[MASK]")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    keep(tmp_path / "probe.json", figures("lockstep probe", UNDER, PROBES))
    return tmp_path / "probe.json"


def test_figures_survive_their_file(path: Path) -> None:
    assert [kept(path, UNDER)[p.model, p.sha256].to_dict() for p in PROBES] == [
        probe.to_dict() for probe in PROBES
    ]


def test_what_was_rounded_stays_as_it_is() -> None:
    third = replace(PROBE, forgetting=replace(PROBE.forgetting, chance=1 / 3))
    again = Probe.from_dict(third.to_dict())
    assert again != third
    assert Probe.from_dict(again.to_dict()) == again


@pytest.mark.parametrize(
    "other",
    [
        conditions("b/dev", ROWS, "[MASK]"),
        conditions("a/dev", ROWS[:1], "[MASK]"),
        conditions("a/dev", [Row("great film", "0"), ROWS[1]], "[MASK]"),
        conditions("a/dev", ROWS, "the"),
    ],
)
def test_figures_under_other_conditions_are_not_taken(path: Path, other: dict[str, object]) -> None:
    assert kept(path, other) == {}


@pytest.mark.parametrize("text", ["", "{}", "[]", json.dumps({"conditions": UNDER})])
def test_file_of_another_kind_holds_nothing(path: Path, text: str) -> None:
    path.write_text(text)
    assert kept(path, UNDER) == {}
    assert kept(path.with_name("none.json"), UNDER) == {}

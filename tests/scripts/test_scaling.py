"""docs/scaling.md says what its sources say, and its arithmetic is right."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from bench import serve_claims
from scripts.scaling import BEGIN, DOCS, END, LOADS, Capacity, capacities, figure, tables

PAGE = (DOCS / "scaling.md").read_text(encoding="utf-8")


def rows(heading: str) -> list[list[str]]:
    """The cells of every row of the table under such a heading."""
    made = PAGE.partition(BEGIN)[2].partition(END)[0]
    (table,) = [part for part in made.split("\n\n") if part.strip().startswith(heading)]
    lines = table.strip().splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


RATES, COUNTS = rows("| what is asked | one |"), rows("| what is asked | of |")


def test_page_has_the_tables_of_today() -> None:
    """Where this fails, a bench has written new figures: run scripts/scaling.py."""
    assert f"{BEGIN}\n{tables(capacities())}\n{END}" in PAGE


def test_counts_follow_from_the_rates() -> None:
    assert [row[:2] for row in COUNTS] == [row[:2] for row in RATES]
    for (_, _, rate, *_), (_, _, *numbers) in zip(RATES, COUNTS, strict=True):
        for load, number in zip(LOADS, numbers, strict=True):
            exact = load / (0.6 * float(rate.replace(",", ""))) + 1  # of a rate of three digits
            assert exact * 0.99 <= int(number.replace(",", "")) <= exact * 1.01 + 1


@pytest.mark.parametrize(("load", "number"), [(1, 2), (60, 2), (61, 3), (600, 11)])
def test_needed_leaves_room_and_one_to_spare(load: int, number: int) -> None:
    assert Capacity("a", "core", 100, "measured", "here").needed(load) == number


@pytest.mark.parametrize(
    ("value", "written"), [(42.18, "42.2"), (202.8, "203"), (87600.3, "87,600"), (1.234, "1.23")]
)
def test_figure_has_three_digits(value: float, written: str) -> None:
    assert figure(value) == written


def test_every_rate_is_marked_and_named() -> None:
    for what, _, _, basis, source in RATES:
        assert basis == ("measured" if "whole service" in what else "projected")
        (path,) = set(re.findall(r"[\w/-]+\.json", source))
        assert (DOCS / path).exists()


def test_served_rates_come_from_the_bench(tmp_path: Path) -> None:
    for source in ("performance/batching.json", "gap/gpu/gap.json"):
        (tmp_path / source).parent.mkdir(parents=True)
        shutil.copy(DOCS / source, tmp_path / source)

    def turns(server: str, clients: int, *rates: float) -> dict[str, object]:
        rounds = [{"requests": rate * 2, "seconds": 2.0} for rate in rates]
        return {"server": server, "clients": clients, "rounds": rounds}

    one = {"model": "lstm", "free_forward": False, "workload": {"name": "short", "texts": 1}}
    asked = [
        turns(serve_claims.OURS, 1, 90),
        turns(serve_claims.OURS, 32, 300, 500, 410),
        turns("other", 32, 999),
    ]
    lists = one | {"workload": {"name": "lists", "texts": 16}, "turns": asked}
    written = {
        "hardware": {"cores": 2, "processor": "a Zen"},
        "comparisons": [one | {"turns": asked}, lists],
    }
    (tmp_path / "serve.json").write_text(json.dumps(written))
    served = [found for found in capacities(tmp_path) if found.basis == "measured"]
    what = "`lstm`, short texts, whole service"
    assert served == [Capacity(what, "machine of 2 cores, a Zen", 410, "measured", "serve.json")]

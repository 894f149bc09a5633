"""docs/performance.md has the tables of what was measured."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.marked import MARK
from scripts import performance_figures
from scripts.performance_figures import GPU, PAGES, TABLES, breakdowns, fits, growth, peak


def test_page_shows_what_was_measured(capsys: pytest.CaptureFixture[str]) -> None:
    """Where this fails, a bench has run anew: `make figures`."""
    assert performance_figures.main(["--check"]) == 0
    assert capsys.readouterr().out == "as measured\n"


def test_page_has_every_table_once() -> None:
    (page,) = PAGES
    names = [found[2] for found in MARK.finditer(page.read_text(encoding="utf-8"))]
    assert sorted(names) == sorted(TABLES)


@pytest.fixture
def measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Puts files of one's own in the place of those under docs."""
    monkeypatch.setattr(performance_figures, "DOCS", tmp_path)

    def put(name: str, **content: Any) -> None:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(json.dumps(content))

    return put


def turns(server: str, clients: int, *rates: float) -> dict[str, Any]:
    rounds = [{"per_second": rate, "latency": {"p99": 1 / rate}} for rate in rates]
    return {"server": server, "clients": clients, "rounds": rounds}


def test_growth_is_of_the_service_alone(measured: Callable[..., None]) -> None:
    asked = [turns("Lockstep", 1, 10), turns("Lockstep", 8, 20, 50, 40), turns("FastAPI", 32, 5)]
    one = {"model": "lstm", "free_forward": False, "workload": {"name": "short", "texts": 1}}
    lists = one | {"workload": {"name": "lists", "texts": 32}, "turns": asked}
    free = one | {"free_forward": True, "turns": asked}
    measured("performance/serve/serve.json", comparisons=[one | {"turns": asked}, lists, free])
    assert growth() == [
        ["clients", "lstm, short: requests/s", "p99, ms"],
        ["1", "10.0", "100"],
        ["8", "40.0", "25.0"],
    ]


LINE = {"model": "mingru", "schedule": "serial", "dtype": "bfloat16", "how": "eager", "batch": 1}


def test_fits_are_told_with_their_errors(measured: Callable[..., None]) -> None:
    fit = {"a": 1e-3, "b": 2e-5, "c": 0.0, "error": 0.034, "worst": 0.1}
    measured("gap/cpu/gap.json", fits=[LINE | fit, LINE | fit | {"batch": 32}])
    measured("gap/gpu/gap.json", fits=[LINE | fit | {"dtype": "float32"}])
    assert fits()[1:] == [["`mingru`, serial", "1 + 0.02·T (± 3%)", "-", "-", "-"]]


def test_share_of_the_peak_is_held_against_half(
    measured: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(performance_figures, "PEAK_PLACES", {"here": ("cpu", "eager", (1, 8))})
    cell = LINE | {"model": "transformer", "schedule": None, "length": 512}
    least = cell | {"forward_seconds": 0.02, "share_of_peak": 0.4}
    most = cell | {"batch": 8, "forward_seconds": 0.1, "share_of_peak": 0.5}
    measured("gap/cpu/gap.json", cells=[least, most])
    assert [row[1:] for row in peak()[1:]] == [
        ["1", "20.0", "40.0%", "no"],
        ["8", "100", "50.0%", "yes"],
    ]


def test_breakdowns_are_shown_of_each_place(measured: Callable[..., None]) -> None:
    one = {"model": "transformer", "dtype": "bfloat16", "batch": 1, "length": 512}
    profiled = one | {"seconds": 0.02, "shares": {"attention": 0.25, "the rest": 0.75}}
    measured("gap/cpu/gap.json", breakdowns=[profiled])
    other = {"seconds": 0.0003, "shares": {"copies": 0.5, "the rest": 0.5}}
    measured("gap/gpu/gap.json", breakdowns=[profiled | other])
    assert breakdowns() == [
        ["on", "forward", "ms", "attention", "the rest", "copies"],
        ["two CPU cores", "transformer, bfloat16, 1 x 512 tokens", "20.0", "25%", "75%", "0%"],
        [GPU, "transformer, bfloat16, 1 x 512 tokens", "0.300", "0%", "50%", "50%"],
    ]

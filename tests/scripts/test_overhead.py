"""The measure of what the service adds to a forward."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any

import pytest

from bench.processes import free_port
from service.observe.timing import STAGES
from tests.launch import ROOT


@pytest.fixture
def overhead(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(ROOT / "scripts")  # where python puts it for a script
    return importlib.import_module("overhead")


class Answers:
    """A client whose answers are known."""

    def __init__(self, *totals_ms: float) -> None:
        self._totals_ms = iter(totals_ms)

    def ask(self) -> tuple[float, dict[str, Any]]:
        total_ms = next(self._totals_ms)
        stages = {f"{stage}_ms": 0.5 for stage in STAGES}
        return total_ms / 1e3 + 0.001, {"timing": stages | {"total_ms": total_ms}}


def asked(overhead: ModuleType, label: str, *totals_ms: float) -> Any:
    one = overhead.Asked(label, Answers(*totals_ms))
    for _ in totals_ms:
        one.ask()
    return one


def test_own_time_is_what_tokenizing_and_the_forward_leave(overhead: ModuleType) -> None:
    rows = asked(overhead, "now", 3.0, 5.0, 100.0).rows()
    assert rows["forward"] == pytest.approx(500)
    assert rows["total - tokenize - forward"] == pytest.approx(4000)
    assert rows["round trip - tokenize - forward"] == pytest.approx(5000)


def test_table_of_two_has_their_ratio(overhead: ModuleType) -> None:
    both = [asked(overhead, "before", 4.0), asked(overhead, "now", 2.0)]
    (total,) = [line for line in overhead.table(both).splitlines() if line.startswith("total  ")]
    assert total.split() == ["total", "4000", "2000", "0.50"]


def test_service_without_a_forward_is_measured(
    overhead: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    overhead.main(["--free", "--requests", "25", "--port", str(free_port())])
    printed = {
        line[:32].strip(): line[32:].split() for line in capsys.readouterr().out.splitlines()
    }
    assert printed["forward"] == ["0"]
    (round_trip,), (total,) = printed["round trip"], printed["total"]
    assert 0 < int(total) < int(round_trip)


def test_service_that_refuses_is_told_of(overhead: ModuleType) -> None:
    with pytest.raises(SystemExit, match="422"):
        overhead.main(["--free", "--text", "", "--port", str(free_port())])

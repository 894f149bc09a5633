"""What the docs state of batching, of the gap and of other servers is what was measured."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.forwards import ModelCost, as_measured
from bench.gap_report import figure
from service.engine.forward_cost import fit

DOCS = Path(__file__).resolve().parent.parent.parent / "docs"
PAGE = (DOCS / "performance.md").read_text(encoding="utf-8")
MEASURED = json.loads((DOCS / "performance" / "batching.json").read_text(encoding="utf-8"))


def ms(seconds: float) -> str:
    return f"{seconds * 1e3:,.0f}"


@pytest.mark.parametrize("model", MEASURED["models"], ids=lambda model: model["model"])
def test_table_of_policies_is_what_was_measured(model: dict[str, object]) -> None:
    results = model["results"]
    assert isinstance(results, list)
    for result in results:
        short, long = result["short"], result["long"]
        cells = [
            f"`{model['model']}`",
            result["policy"],
            f"{result['texts_per_second']:.1f}",
            *(ms(latency[name]) for latency in (short, long) for name in ("p50", "p99")),
            f"{result['padding']:.1%}",
            f"{result['rows_per_batch']:.1f}",
        ]
        assert f"| {' | '.join(cells)} |" in PAGE


def test_command_is_documented_and_its_costs_are_fits_to_what_was_timed() -> None:
    assert MEASURED["command"] in PAGE
    for model in map(ModelCost.from_dict, MEASURED["models"]):
        refit = fit(as_measured(model.measured), padded=model.cost.padded)
        assert refit.seconds(4, 100) == pytest.approx(model.cost.seconds(4, 100), rel=1e-6)


GPU = json.loads((DOCS / "gap" / "gpu" / "gap.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize(("how", "batch"), [("captured", 1), ("eager", 1), ("captured", 32)])
def test_gap_on_a_gpu_is_what_was_measured(how: str, batch: int) -> None:
    rows: dict[tuple[str, str | None], list[str]] = {}
    for cell in GPU["cells"]:
        if (cell["how"], cell["batch"]) == (how, batch) and cell["length"] in (16, 64, 256, 512):
            milliseconds = f"{cell['forward_seconds'] * 1e3:.3g}"
            shown = f"{milliseconds} ({cell['ratio']:.1f})"
            rows.setdefault((cell["model"], cell["schedule"]), []).append(shown)
    assert len(rows) == 12
    for (model, schedule), cells in rows.items():
        name = f"`{model}`, {schedule}" if schedule else f"`{model}`"
        assert f"| {name} | {' | '.join(cells)} |" in PAGE


def test_what_graphs_gain_is_what_was_measured() -> None:
    one_text = [cell for cell in GPU["cells"] if cell["batch"] == 1]
    seconds = {
        (cell["how"], cell["model"], cell["schedule"], cell["length"]): cell["forward_seconds"]
        for cell in one_text
    }
    gains = [
        seconds["eager", *place] / captured
        for (how, *place), captured in seconds.items()
        if how == "captured"
    ]
    assert f"one text {min(gains):.0f} to {max(gains):.0f} times faster" in PAGE


def test_comparison_of_servers_is_what_was_measured() -> None:
    """Where this fails, the bench has run anew: `make figures`."""
    serve = DOCS / "performance" / "serve" / "serve.json"
    measured = json.loads(serve.read_text(encoding="utf-8"))
    assert f"\n{measured['command']}\n" in PAGE
    assert measured["errors"] == []
    for claim in measured["claims"]:
        met = "yes" if claim["met"] else "no"
        row = [claim["what"], claim["aim"], figure(claim["measured"]), met]
        assert f"| {' | '.join(row)} |" in PAGE

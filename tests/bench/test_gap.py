"""``lockstep bench gap``: what is timed, what is left out, and what is made of the figures."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from bench import timing
from bench.gap import Cell, Line, load_subjects, measure
from bench.gap_figures import fit, fits, ratios
from bench.gap_report import Report, figure, page, short, text_of
from bench.hardware import Peak, describe_hardware, measure_peak
from bench.timing import Times, time_in_turn
from cli.main import main
from models import registry
from models.base import Classifier
from tests.small import SMALL_ARCHITECTURES, write_model

CPU = torch.device("cpu")
LINE = Line("lstm", "lstm", False, None, "float32", "eager")
BASE = replace(LINE, model="transformer", architecture="transformer")


def cell(line: Line, length: int, milliseconds: float, batch: int = 1) -> Cell:
    seconds = milliseconds / 1e3
    times = Times(5, seconds * 0.8, seconds, seconds * 0.9, seconds * 1.1, seconds)
    return Cell(line, length, batch, times, flops=1_000_000 * length * batch, steps=2 * length)


@pytest.fixture
def small(weights: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Small architectures alone, one of them trained."""
    for name in set(registry.ARCHITECTURES) - set(SMALL_ARCHITECTURES):
        monkeypatch.delitem(registry.ARCHITECTURES, name)
    write_model(weights)
    return weights


def test_every_model_and_each_architecture_without_one_is_timed(small: Path) -> None:
    subjects = load_subjects(small, [], torch.bfloat16, CPU)
    assert {s.model: s.random_weights for s in subjects} == {
        "lstm": False,
        "transformer": True,
        "mingru": True,
    }
    assert all(s.classifier.head.weight.dtype == torch.bfloat16 for s in subjects)
    assert not any(s.classifier.training for s in subjects)


def test_models_take_the_form_that_the_service_would_choose(
    small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen: list[tuple[Classifier, str]] = []
    monkeypatch.setattr("bench.gap.settle", lambda *words: chosen.append(words))
    (subject,) = load_subjects(small, ["lstm"], torch.bfloat16, CPU)
    assert chosen == [(subject.classifier, "bfloat16")]


def test_untrained_weights_need_no_folder(small: Path, tmp_path: Path) -> None:
    nowhere = tmp_path / "nowhere"
    write_model(small, "own", architecture="lstm")
    (subject,) = load_subjects(small, ["lstm"], torch.float32, CPU, random=True)
    assert subject.random_weights
    (subject,) = load_subjects(small, ["own"], torch.float32, CPU)
    assert (subject.model, subject.architecture, subject.random_weights) == ("own", "lstm", False)
    with pytest.raises(ValueError, match=r"no model or architecture 'own'; there are: lstm"):
        load_subjects(nowhere, ["own"], torch.float32, CPU)


def test_cells_are_every_schedule_at_every_length_and_batch(small: Path) -> None:
    subjects = load_subjects(small, [], torch.float32, CPU)
    cells, remarks = measure(subjects, "float32", [4, 16], [1, 2], 0.0, lambda _: None)
    places = [(c.line.model, c.line.schedule, c.length, c.batch) for c in cells]
    expected = [
        (model, schedule, length, batch)
        for batch in (1, 2)
        for length in (4, 16)
        for model, schedule in (
            ("lstm", None),
            ("mingru", "serial"),
            ("mingru", "parallel"),
            *([("transformer", None)] if length <= 8 else []),
        )
    ]
    assert sorted(places, key=str) == sorted(expected, key=str)
    assert remarks == ["transformer reads no more than 8 tokens: longer lengths are left out"]
    assert all(c.times.median > 0 and c.times.samples >= 1 for c in cells)
    serial = next(c for c in cells if c.line.schedule == "serial" and c.length == 16)
    assert (serial.steps, serial.line.random_weights) == (16, True)


def test_calls_are_timed_in_turn_and_the_first_of_each_is_not_counted() -> None:
    made: list[str] = []

    def call(name: str) -> Callable[[], None]:
        return lambda: made.append(name)

    times = time_in_turn({name: call(name) for name in "abc"}, 0.0, CPU)
    assert made == [*"abc", *"abc", *"bca", *"cab"]
    assert {name: of.samples for name, of in times.items()} == dict.fromkeys("abc", 3)


def test_a_slow_call_is_timed_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "once", lambda call, device: (call(), call()))
    times = time_in_turn({"slow": lambda: 5.0, "slower": lambda: 1.5, "fast": lambda: 0.25}, 1, CPU)
    assert {name: of.samples for name, of in times.items()} == {"slow": 1, "slower": 2, "fast": 4}
    assert times["slow"].median == times["slow"].first_quartile == times["slow"].wall == 5.0


def test_fit_finds_the_terms_that_made_the_times() -> None:
    lengths = [16, 32, 64, 128, 256]
    fitted = fit(lengths, [2e-3 + 1e-5 * T + 3e-8 * T * T for T in lengths])
    assert fitted is not None
    assert (fitted.a, fitted.b, fitted.c) == pytest.approx((2e-3, 1e-5, 3e-8))
    assert fitted.error < 1e-9


def test_fit_has_no_term_below_0_and_says_how_far_off_it_is() -> None:
    lengths = [16, 32, 64, 128]
    fitted = fit(lengths, [1.0, 1.9, 3.5, 6.0])  # bends down: a square could only be negative
    assert fitted is not None
    assert fitted.c == 0
    assert min(fitted.a, fitted.b) >= 0
    assert 0 < fitted.error <= fitted.worst < 0.2
    assert "T²" not in text_of(fitted)


def test_three_lengths_are_no_fit() -> None:
    assert fit([16, 32, 64], [1.0, 2.0, 3.0]) is None
    assert fits([cell(LINE, T, 1.0) for T in (16, 32, 64)]) == {}


def test_ratio_is_to_the_baseline_in_the_same_place() -> None:
    bfloat16 = replace(BASE, dtype="bfloat16")
    cells = [cell(LINE, 16, 6.0), cell(LINE, 32, 9.0), cell(BASE, 16, 3.0), cell(bfloat16, 32, 1.0)]
    found = ratios(cells, "transformer")
    assert found[LINE, 16, 1] == pytest.approx(2.0)
    assert found[BASE, 16, 1] == 1.0
    assert (LINE, 32, 1) not in found  # no baseline of that dtype there


def test_report_states_shares_ratios_and_untrained_weights() -> None:
    untrained = replace(LINE, model="gru", architecture="gru", random_weights=True)
    cells = [
        cell(line, T, T * scale)
        for line, scale in ((BASE, 0.5), (LINE, 1.0), (untrained, 2.0))
        for T in (16, 32, 64, 128)
    ]
    peaks = {"float32": Peak(4e9, "mm", 512)}
    report = Report("lockstep bench gap", {"device": "a CPU"}, peaks, "transformer", cells, ["x"])
    text = page(report)
    assert "| gru\\* | 4.00 | 4.00 | 4.00 | 4.00 |" in text
    assert "| lstm | 1.00 (25.0%) |" in text  # 10^6 operations a token, a token a millisecond
    assert "| lstm | 32 | 64 | 128 | 256 |" in text
    assert "1·T (± 0%)" in text
    measured = json.loads(json.dumps(report.to_dict()))
    last = measured["cells"][-1]
    assert (last["model"], last["random_weights"], last["ratio"]) == ("gru", True, 4.0)
    assert last["forward_seconds"] == 0.256
    assert last["forward_seconds_quartiles"] == [0.2304, 0.2816]
    assert last["forward_seconds_least"] == 0.2048
    assert measured["fits"][0]["b"] == pytest.approx(5e-4)


@pytest.mark.parametrize(
    ("value", "text"), [(1234.5, "1,234"), (99.94, "99.9"), (1.0, "1.00"), (0.01234, "0.012")]
)
def test_figures_have_three_digits(value: float, text: str) -> None:
    assert figure(value) == text
    assert short(1.23456) == 1.235
    assert short(None) is None


def test_peak_is_the_best_of_real_products(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.hardware.SIZES", {"cpu": (32, 64)})
    peak = measure_peak(CPU, torch.float32, seconds=0.01)
    assert peak.flops_per_second > 0
    assert peak.size in (32, 64)
    assert peak.path in ("mm", "oneDNN packed")


def test_every_path_computes_the_same_product() -> None:
    from bench.hardware import products

    with torch.inference_mode():
        first, *others = [call() for call in products(16, CPU, torch.float32).values()]
    assert others
    for other in others:
        torch.testing.assert_close(other, first)


def test_hardware_is_described_without_a_date() -> None:
    described = describe_hardware(CPU)
    assert described["threads"] == torch.get_num_threads()
    assert described["torch"] == torch.__version__
    assert set(described) == {"device", "processor", "threads", "python", "torch"}


def test_command_writes_tables_figures_and_plots(
    small: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.hardware.SIZES", {"cpu": (16,)})
    monkeypatch.setattr("bench.breakdown.FORWARDS", 1)
    out = tmp_path / "out"
    options = ["--lengths", "8,4", "--batches", "2", "--seconds", "0.001", "--dtype", "float32"]
    words = ["bench", "gap", *options, "--device", "cpu", "--weights", str(small)]
    assert main([*words, "--out", str(out)]) == 0
    printed = capsys.readouterr()
    assert "Forward in ms, float32, eager, batch 2" in printed.out
    assert "| mingru (serial)\\* |" in printed.out
    plots = [f"{n}-float32-eager.{kind}" for n in ("forward", "ratio") for kind in ("png", "svg")]
    assert sorted(path.name for path in out.iterdir()) == sorted([*plots, "gap.json", "gap.md"])
    measured = json.loads((out / "gap.json").read_text(encoding="utf-8"))
    assert [c["length"] for c in measured["cells"][:1]] == [4]
    assert len(measured["cells"]) == 2 * 4
    (profiled,) = measured["breakdowns"]
    assert (profiled["model"], profiled["batch"], profiled["length"]) == ("transformer", 2, 8)
    page = (out / "gap.md").read_text(encoding="utf-8")
    assert "| transformer, float32, 2 x 8 tokens |" in page


def test_a_baseline_that_was_not_timed_is_said(
    small: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.hardware.SIZES", {"cpu": (16,)})
    options = ["--lengths=4", "--batches=1", "--seconds=0.001", "--dtype=float32", "--device=cpu"]
    words = ["bench", "gap", "--models=lstm", *options, "--weights", str(small)]
    assert main([*words, "--baseline=lstm"]) == 0
    assert "no ratios" not in capsys.readouterr().err
    assert main(words) == 0
    assert "transformer wasn't timed: there are no ratios to it" in capsys.readouterr().err


def test_missing_plots_are_said_before_the_work(
    small: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("bench.plots", "training.plots"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    out = tmp_path / "out"
    assert main(["bench", "gap", "--out", str(out), "--weights", str(small)]) == 2
    printed = capsys.readouterr().err
    assert "this needs matplotlib; `make setup-train` installs it" in printed
    assert "best matrix product" not in printed


@pytest.mark.parametrize("option", ["--threads=0", "--seconds=0", "--seconds=-1"])
def test_no_time_and_no_cores_are_refused(
    small: Path, option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", "gap", option, "--weights", str(small)]) == 2
    assert "above zero" in capsys.readouterr().err


def test_a_missing_gpu_is_said_at_once(
    small: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert main(["bench", "gap", "--device", "cuda", "--weights", str(small)]) == 2
    assert "sees no GPU" in capsys.readouterr().err

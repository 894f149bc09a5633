"""Training speed: measured on the batch asked for, and written where it belongs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from bench.training import Shape, measure_training
from cli.main import main
from models import folder as folders
from models.checkpoint import load_predictor
from tests.small import write_model


def test_every_model_is_timed_in_every_format(weights: Path) -> None:
    write_model(weights, "lstm")
    write_model(weights, "transformer", architecture="transformer")
    models = {name: load_predictor(weights, name)[1].classifier for name in ("lstm", "transformer")}
    dtypes = ("float32", "bfloat16")
    speeds = measure_training(models, Shape(2, 16), dtypes, 0.01, torch.device("cpu"))
    assert {(s.model, s.dtype) for s in speeds} == {(m, d) for m in models for d in dtypes}
    # A window of 8 is filled, not overrun.
    assert {s.model: s.shape for s in speeds} == {"lstm": Shape(2, 16), "transformer": Shape(2, 8)}
    for speed in speeds:
        tokens = speed.shape.rows * speed.shape.length
        assert speed.tokens_per_second == pytest.approx(tokens / speed.times.wall)


def test_figures_go_into_the_card_only_when_asked(
    weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = write_model(weights, "lstm")
    command = ["bench", "training", f"--weights={weights}", "--rows=2", "--length=16"]
    assert main([*command, "--device=cpu", "--seconds=0.01"]) == 0
    assert "lstm" in capsys.readouterr().out
    assert folders.read(weights / "lstm") == before
    assert main([*command, "--device=cpu", "--seconds=0.01", "--write"]) == 0
    after = folders.read(weights / "lstm")
    speed = after.card["training_speed"]["cpu"]
    assert speed["batch"] == [2, 16]
    assert set(speed["tokens_per_second"]) == {"float32", "bfloat16"}
    assert speed["command"].startswith("lockstep bench training")
    assert after.sha256 == before.sha256  # the weights weren't trained by it


@pytest.mark.parametrize("option", ["--rows=0", "--length=0", "--seconds=0"])
def test_an_empty_batch_and_no_time_are_refused(
    weights: Path, option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write_model(weights, "lstm")
    assert main(["bench", "training", f"--weights={weights}", option]) == 2
    assert "above zero" in capsys.readouterr().err


def test_a_missing_gpu_is_said(
    weights: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_model(weights, "lstm")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert main(["bench", "training", f"--weights={weights}", "--device=cuda"]) == 2
    assert "sees no GPU" in capsys.readouterr().err


def test_timing_a_step_needs_nothing_that_the_service_runs_without() -> None:
    code = "import sys, bench.training; sys.exit('lightning' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0

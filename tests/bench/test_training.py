"""Training speed: measured on the batch asked for, and written where it belongs."""

from __future__ import annotations

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

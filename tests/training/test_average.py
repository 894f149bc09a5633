"""The mean of several trainings: of their weights, calibrated anew, and told on the card."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from cli.main import main
from models.checkpoint import load_predictor
from models.folder import read
from tests.small import write_model
from tests.training.test_run import write_rows
from training.average import average
from training.data import DataError

LABELS = ("bad", "fair", "good")


@pytest.fixture
def source(tmp_path: Path) -> str:
    return write_rows(tmp_path / "own" / "train.csv")


def test_the_weights_are_the_mean_of_the_weights(weights: Path, source: str) -> None:
    for seed in (1, 2, 3):
        write_model(weights, f"m{seed}", labels=LABELS, seed=seed)
    folder = average(weights, ["m1", "m2", "m3"], "mean", [source], "typed")
    states = [
        load_predictor(weights, name)[1].classifier.state_dict()
        for name in ("m1", "m2", "m3", "mean")
    ]
    for key, value in states[3].items():
        expected = sum((state[key] for state in states[:3]), torch.zeros_like(value)) / 3
        assert torch.allclose(value, expected, atol=1e-3)  # stored in float16
    made = folder.card["training"]
    assert [one["name"] for one in made["averaged"]] == ["m1", "m2", "m3"]
    assert made["command"] == "typed"
    assert made["held_back"]["own/train"] == made["held_back_accuracy"]
    assert folder.card["calibration"]["rows"] > 0
    assert folder.temperature == folder.card["calibration"]["temperature"]


def test_average_in_a_new_folder_takes_the_word_table_along(
    weights: Path, source: str, tmp_path: Path
) -> None:
    for seed in (1, 2):
        write_model(weights, f"m{seed}", labels=LABELS, seed=seed)
    new = tmp_path / "work" / "first"
    folder = average(new, [str(weights / "m1"), str(weights / "m2")], "mean", [source], "typed")
    _, predictor = load_predictor(new, "mean")
    assert folder.path == new / "mean"
    assert predictor.predict(["a great film"])


def test_models_of_two_kinds_have_no_mean(weights: Path, source: str) -> None:
    write_model(weights, "one", labels=LABELS)
    write_model(weights, "other", architecture="transformer", labels=LABELS)
    with pytest.raises(DataError, match=r"other differs from .*one in kind, sizes or labels"):
        average(weights, ["one", "other"], "mean", [source], "typed")


def test_one_model_is_no_average(weights: Path, source: str) -> None:
    write_model(weights, "one", labels=LABELS)
    with pytest.raises(DataError, match="two models at least"):
        average(weights, ["one"], "mean", [source], "typed")


def test_average_from_the_command_line(
    weights: Path, source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_model(weights, "one", labels=LABELS, seed=1)
    write_model(weights, "two", labels=LABELS, seed=2)
    words = ["average", "one", str(weights / "two"), "--name=both", f"--data={source}"]
    assert main([*words, f"--weights={weights}"]) == 0
    assert "own/train" in capsys.readouterr().out
    assert read(weights / "both").labels == LABELS


def test_average_says_what_to_install(
    weights: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("average", "fit", "job", "planned"):
        monkeypatch.delitem(sys.modules, f"training.{module}", raising=False)
    monkeypatch.setitem(sys.modules, "lightning", None)
    words = ["average", "one", "two", "--name=both", "--data=none.csv", f"--weights={weights}"]
    assert main(words) == 2
    assert "this needs lightning; `make setup-train` installs it" in capsys.readouterr().err

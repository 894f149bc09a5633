"""The flags of ``lockstep train``; what training does is tested in tests/training."""

from __future__ import annotations

import argparse
import json
import signal
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cli import train
from cli.common import WEIGHTS
from cli.main import main
from cli.train import model_name, share_wordpiece, weighted_source
from models.checkpoint import load_predictor
from tests.training.test_run import write_rows
from training.fitting import Fitting
from training.recipes import RECIPES, Recipe


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("a/train.tsv", ("a/train.tsv", 1.0)),
        ("a/train.tsv=2", ("a/train.tsv", 2.0)),
        ("a=b/train.tsv=0.5", ("a=b/train.tsv", 0.5)),
        ("a=b/train.tsv", ("a=b/train.tsv", 1.0)),
        ("owner/name:train=3", ("owner/name:train", 3.0)),
    ],
)
def test_source_may_end_in_a_weight(text: str, source: tuple[str, float]) -> None:
    assert weighted_source(text) == source


@pytest.mark.parametrize("weight", ["0", "-1", "nan", "inf"])
def test_weight_that_means_nothing_is_refused(weight: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="above 0"):
        weighted_source(f"a.tsv={weight}")


@pytest.mark.parametrize("name", ["", "..", "a/b", "wordpiece", "a b", "été"])
def test_name_that_cant_be_a_folder_is_refused(name: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="not a name"):
        model_name(name)
    assert model_name("lstm-v1.2_own") == "lstm-v1.2_own"


def test_every_recipe_setting_is_a_flag() -> None:
    parser = argparse.ArgumentParser()
    train.add_arguments(parser)
    for field in fields(Recipe):
        flag = f"--{field.name.replace('_', '-')}"
        value = getattr(parser.parse_args(["lstm", "--data=a", flag, "3"]), field.name)
        assert (value, type(value).__name__) == (3, field.type)


def test_every_flag_and_recipe_is_documented() -> None:
    parser = argparse.ArgumentParser()
    train.add_arguments(parser)
    page = (WEIGHTS.parent / "docs" / "training.md").read_text(encoding="utf-8")
    flags = [flag for action in parser._actions for flag in action.option_strings]
    assert [flag for flag in flags if f"| `{flag}" not in page] == ["-h", "--help"]
    for name, recipe in RECIPES.items():
        rate = np.format_float_scientific(recipe.learning_rate, trim="-", exp_digits=1)
        assert f"| `{name}` | {rate} | {recipe.passes} |" in page


def test_train_writes_a_model_of_ones_own(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_rows(tmp_path / "own" / "train.csv", count=30)
    command = ["train", "lstm", f"--data={data}=2", "--name=mine", "--labels=good, fair,bad"]
    command += [f"--weights={weights}", f"--work={tmp_path / 'work'}", "--precision=float32"]
    assert main([*command, "--passes=1", "--slices=1"]) == 0
    folder, _ = load_predictor(weights, "mine")
    assert folder.labels == ("good", "fair", "bad")
    assert folder.card["training"]["command"].startswith("lockstep train lstm --data=")
    assert "lockstep evaluate mine" in capsys.readouterr().out


def test_train_goes_on_only_with_the_same_run(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_rows(tmp_path / "own" / "train.csv", count=30)
    command = ["train", "lstm", f"--data={data}", f"--weights={weights}", "--precision=float32"]
    command += [f"--work={tmp_path / 'work'}", "--slices=1"]
    assert main([*command, "--passes=1"]) == 0
    assert main([*command, "--passes=2"]) == 2
    assert "--restart" in capsys.readouterr().err
    assert main([*command, "--passes=2", "--restart", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)  # and no bar among it
    assert told["path"] == str(weights / "lstm")


@pytest.fixture
def ctrl_c() -> Iterator[Any]:
    """How Ctrl-C is heard, also where the tests were started without it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield signal.default_int_handler
    signal.signal(signal.SIGINT, before)


def test_interrupted_training_ends_with_130_and_goes_on(
    weights: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    ctrl_c: Any,
) -> None:
    data = write_rows(tmp_path / "own" / "train.csv", count=30)
    command = ["train", "lstm", f"--data={data}", f"--weights={weights}", "--precision=float32"]
    command += [f"--work={tmp_path / 'work'}", "--passes=2", "--slices=2"]
    with monkeypatch.context() as patch:
        patch.setattr(Fitting, "on_validation_end", lambda _: signal.raise_signal(signal.SIGINT))
        assert main(command) == 130
    assert signal.getsignal(signal.SIGINT) is ctrl_c
    assert capsys.readouterr().err.endswith("lockstep train: interrupted\n")
    assert main(command) == 0


def test_only_minilm_starts_from_pretrained_weights(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_rows(tmp_path / "own" / "train.csv", count=30)
    command = ["train", "lstm", f"--data={data}", f"--weights={weights}", "--pretrained"]
    assert main([*command, "--precision=float32"]) == 2
    assert "lockstep train: " in capsys.readouterr().err


def test_new_folder_of_models_gets_the_shipped_wordpiece(tmp_path: Path) -> None:
    weights = tmp_path / "mine"
    share_wordpiece(weights)
    shipped = {path.name: path.read_bytes() for path in (WEIGHTS / "wordpiece").iterdir()}
    assert {path.name: path.read_bytes() for path in (weights / "wordpiece").iterdir()} == shipped
    (weights / "wordpiece" / "tokenizer.json").write_text("mine")
    share_wordpiece(weights)
    assert (weights / "wordpiece" / "tokenizer.json").read_text() == "mine"

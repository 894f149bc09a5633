from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from cli.main import main
from tests.small import write_model


def test_models_lists_the_cards_as_a_table(
    weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_model(weights, accuracy={"sst2/dev": {"accuracy": 0.8954}})
    write_model(weights, "short", architecture="transformer")
    assert main(["models", "--weights", str(weights)]) == 0
    header, lstm, short = capsys.readouterr().out.splitlines()
    assert header.split()[:2] == ["model", "architecture"]
    assert lstm.split() == ["lstm", "lstm", "576", "any", "128", "89.54%", "1.50"]
    assert short.split() == ["short", "transformer", "552", "8", "1", "-", "1.50"]
    assert len(header) == len(lstm) == len(short)


def test_models_lists_a_card_that_says_nothing(
    weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (write_model(weights).path / "card.json").write_text("{}")
    assert main(["models", "--weights", str(weights)]) == 0
    assert capsys.readouterr().out.split()[-6:] == ["lstm", "lstm", "-", "any", "-", "1.50"]


def test_models_of_an_empty_folder_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["models", "--weights", str(tmp_path)]) == 2
    assert "holds no models" in capsys.readouterr().err


def test_models_are_listed_without_torch(weights: Path) -> None:
    write_model(weights)
    code = (
        f"import sys; from cli.main import main; status = main(['models', '--weights={weights}'])\n"
        "sys.exit(status or 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")

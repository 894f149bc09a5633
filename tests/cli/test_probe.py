from __future__ import annotations

import argparse
import json
import re
import shlex
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cli import probe
from cli.common import add_to_card
from cli.main import INTERRUPTED, main
from models import folder as folders
from models import registry
from models.lstm import LSTMEncoder
from models.pooling import Pooling
from models.transformer import TransformerEncoder
from service.api.catalogue import describe
from tests.small import (
    SMALL_ARCHITECTURES,
    SmallLSTMConfig,
    SmallTransformerConfig,
    write_model,
)
from training import plots
from training.probe import FILLER_COUNTS, Probe

FILES = [
    *(
        f"{plot}.{kind}"
        for plot in ("accuracy", "agreement", "gradient")
        for kind in ("png", "svg")
    ),
    "probe.json",
    "tables.md",
]


@dataclass(frozen=True, kw_only=True, slots=True)
class WindowConfig(SmallTransformerConfig):
    max_length: int | None = 16  # the example sentence has 13 tokens
    pooling: Pooling = "last"


@pytest.fixture
def words(weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The verb with two models, data of four rows, and a folder to write into."""
    window = registry.Architecture(WindowConfig, TransformerEncoder)
    monkeypatch.setitem(registry.ARCHITECTURES, "transformer", window)
    write_model(weights)
    write_model(weights, "other", architecture="transformer", accuracy={"a/b": {"rows": 1}})
    data = tmp_path / "own" / "dev.csv"
    data.parent.mkdir()
    data.write_text("text,label\ngreat film,1\ndull,0\na fine story,1\nawful acting,0\n")
    options = {"--data": data, "--out": tmp_path / "out", "--weights": weights}
    return [
        "probe",
        "lstm",
        "other",
        *(word for name, value in options.items() for word in (name, str(value))),
    ]


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spares the plots, which take longer than all the rest."""
    monkeypatch.setattr(plots, "plot", lambda probes, out: [])


def card(weights: Path, name: str) -> bytes:
    return (weights / name / "card.json").read_bytes()


def test_probe_prints_and_draws_and_keeps_what_it_measured(
    weights: Path, tmp_path: Path, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    before = {p: p.read_bytes() for p in weights.glob("*/*") if p.name != "card.json"}
    assert main(words) == 0
    printed = capsys.readouterr()
    assert "[MASK], appended (4 texts of own/dev, chance 50.0%)" in printed.out
    assert printed.err.startswith("lstm: gradients\nlstm: accuracy amid filler\nother: gradients\n")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == FILES
    assert {path: path.read_bytes() for path in before} == before

    measured = json.loads((tmp_path / "out" / "probe.json").read_text())
    assert [model["model"] for model in measured["models"]] == ["lstm", "other"]
    assert [model["pooling"] for model in measured["models"]] == ["mean_max", "last"]
    for model in measured["models"]:
        assert not model["variant"]  # each pools as its architecture does
        told = describe(folders.read(weights / model["model"]))
        assert told["memory_horizon"] == model["memory_horizon"]
        assert told["memory"] == {
            "data": "own/dev",
            "filler": "[MASK]",
            **model["forgetting"],
            "command": f"lockstep {' '.join(words)}",
        }
        assert list(model["forgetting"]["appended"]) == [str(count) for count in FILLER_COUNTS]
    assert json.loads(card(weights, "other"))["accuracy"] == {"a/b": {"rows": 1}}


@pytest.mark.usefixtures("undrawn")
def test_probe_puts_the_same_cells_on_the_page_as_on_the_terminal(
    tmp_path: Path, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*words, "--no-write"]) == 0
    page = (tmp_path / "out" / "tables.md").read_text()
    assert f"lockstep {' '.join(words)} --no-write\n" in page
    lines = [line for line in page.splitlines() if line.startswith("| ") and "---" not in line]
    shown = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert len(lines) == 5 * 3  # five tables of a heading and two models
    assert all(line.replace("|", " ").split() in shown for line in lines)


@pytest.mark.usefixtures("undrawn")
def test_probe_can_leave_the_cards_alone(weights: Path, words: list[str]) -> None:
    before = card(weights, "lstm"), card(weights, "other")
    assert main([*words, "--no-write"]) == 0
    assert (card(weights, "lstm"), card(weights, "other")) == before


@pytest.fixture
def elsewhere(weights: Path, tmp_path: Path) -> Path:
    """A model outside the folder of those that are served."""
    shutil.copytree(weights / "wordpiece", tmp_path / "last" / "wordpiece")
    return write_model(tmp_path / "last", "lstm-last", seed=7).path


@pytest.mark.usefixtures("undrawn")
def test_probe_takes_a_model_by_its_folder(
    weights: Path, tmp_path: Path, words: list[str], elsewhere: Path
) -> None:
    assert main([*words[:2], str(elsewhere), *words[2:]]) == 0
    measured = json.loads((tmp_path / "out" / "probe.json").read_text())
    assert [model["model"] for model in measured["models"]] == ["lstm", "lstm-last", "other"]
    assert json.loads((elsewhere / "card.json").read_text())["memory"]["rows"] == 4
    assert not (weights / "lstm-last").exists()


def test_probe_refuses_two_models_of_one_name(
    words: list[str], elsewhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.move(elsewhere, elsewhere.parent / "lstm")
    assert main([*words[:2], str(elsewhere.parent / "lstm"), *words[2:]]) == 2
    assert "two models are named lstm: " in capsys.readouterr().err


@pytest.mark.usefixtures("undrawn")
def test_probe_takes_what_it_measured_before(
    weights: Path, tmp_path: Path, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main(words) == 0
    first = {path.name: path.read_bytes() for path in out.iterdir()}
    cards = card(weights, "lstm"), card(weights, "other")
    capsys.readouterr()
    assert main(words) == 0
    assert capsys.readouterr().err == ""
    assert {path.name: path.read_bytes() for path in out.iterdir()} == first
    assert (card(weights, "lstm"), card(weights, "other")) == cards

    write_model(weights, seed=5)  # trained anew
    assert main(words) == 0
    assert capsys.readouterr().err == "lstm: gradients\nlstm: accuracy amid filler\n"
    assert "memory_horizon" in json.loads(card(weights, "lstm"))
    for more in (["--restart"], ["--rows", "3"], ["--filler", "is a film"]):
        assert main([*words, *more]) == 0
        assert "other: gradients" in capsys.readouterr().err


@pytest.mark.usefixtures("undrawn")
def test_probe_keeps_what_it_measured_of_a_model_whose_folder_is_gone(
    tmp_path: Path, words: list[str], elsewhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [words[0], str(elsewhere), *words[1:]]
    assert main(command) == 0
    before = (tmp_path / "out" / "probe.json").read_text()
    shutil.rmtree(elsewhere.parent)
    capsys.readouterr()
    assert main(command) == 0
    told = f"{elsewhere.name}: its folder is gone; as it was measured before\n"
    assert capsys.readouterr().err == told
    assert (tmp_path / "out" / "probe.json").read_text() == before
    for refused in ([*command, "--restart"], [words[0], f"{tmp_path}/lats/last", *words[1:]]):
        assert main(refused) == 2
        assert "holds no models" in capsys.readouterr().err


@pytest.mark.usefixtures("undrawn")
def test_probe_that_was_stopped_goes_on(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    measure = probe._measure

    def stop_at_the_second(folder: folders.ModelFolder, *more: Any) -> Probe:
        if folder.name == "other":
            raise KeyboardInterrupt
        return measure(folder, *more)

    monkeypatch.setattr(probe, "_measure", stop_at_the_second)
    assert main(words) == INTERRUPTED
    monkeypatch.setattr(probe, "_measure", measure)
    capsys.readouterr()
    assert main(words) == 0
    assert capsys.readouterr().err == "other: gradients\nother: accuracy amid filler\n"


@pytest.mark.usefixtures("undrawn")
def test_probe_leaves_what_a_card_got_meanwhile(
    weights: Path, words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    measure = probe._measure

    def slowly(folder: folders.ModelFolder, *more: Any) -> Probe:
        add_to_card(folder, accuracy={"a/b": {"rows": 2}})  # as another command would
        return measure(folder, *more)

    monkeypatch.setattr(probe, "_measure", slowly)
    assert main(words) == 0
    assert json.loads(card(weights, "lstm"))["accuracy"] == {"a/b": {"rows": 2}}
    assert "memory" in json.loads(card(weights, "lstm"))


@pytest.mark.usefixtures("undrawn")
def test_probe_takes_another_filler_and_fewer_rows(weights: Path, words: list[str]) -> None:
    assert main([*words, "--filler", "is a film", "--rows", "3"]) == 0
    memory = json.loads(card(weights, "lstm"))["memory"]
    assert (memory["filler"], memory["rows"]) == ("is a film", 3)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["nobody"], "no model 'nobody'"),
        (["--data", "nowhere.tsv"], "nowhere.tsv doesn't exist"),
        (["--rows", "0"], "can't draw 0 rows"),
        (["--filler", "\t"], "is empty"),
    ],
)
def test_probe_refuses_before_it_measures(
    weights: Path,
    tmp_path: Path,
    words: list[str],
    more: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = card(weights, "lstm")
    command = [words[0], *more, *words[1:]] if more == ["nobody"] else [*words, *more]
    assert main(command) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("lockstep probe: ")
    assert message in printed.err
    assert not (tmp_path / "out").exists()
    assert card(weights, "lstm") == before


def test_probe_refuses_labels_a_model_doesnt_know(
    weights: Path, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    write_model(weights, "other", labels=("ham", "spam", "eggs"))
    Path(words[words.index("--data") + 1]).write_text("text,label\nfine,positive\n")
    assert main(words) == 2
    message = "label is 'positive'; the model's labels are ham, spam, eggs"
    assert capsys.readouterr().err == f"lockstep probe: a row's {message}\n"


@pytest.mark.usefixtures("undrawn")
def test_probe_tells_a_model_that_pools_in_another_way(
    weights: Path, tmp_path: Path, words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    @dataclass(frozen=True, kw_only=True, slots=True)
    class LastConfig(SmallLSTMConfig):
        pooling: Pooling = "last"

    other = registry.Architecture(LastConfig, LSTMEncoder)
    monkeypatch.setitem(registry.ARCHITECTURES, "lstm", other)
    write_model(weights, "other")
    monkeypatch.setitem(registry.ARCHITECTURES, "lstm", SMALL_ARCHITECTURES["lstm"])
    assert main([*words, "--no-write"]) == 0
    measured = json.loads((tmp_path / "out" / "probe.json").read_text())
    assert [(m["pooling"], m["variant"]) for m in measured["models"]] == [
        ("mean_max", False),
        ("last", True),
    ]


def test_probe_is_documented_with_its_flags() -> None:
    page = (Path(__file__).parents[2] / "docs" / "memory.md").read_text(encoding="utf-8")
    parser = argparse.ArgumentParser(add_help=False)
    probe.add_arguments(parser)
    flags = set(parser._option_string_actions)
    assert set(re.findall(r"^\| `(--[a-z-]+)", page, re.MULTILINE)) == flags
    (command,) = re.findall(r"^\.venv/bin/lockstep probe (.*)$", page, re.MULTILINE)
    typed = parser.parse_args(shlex.split(command))
    assert typed.out == Path("docs/memory"), "where the page's plots lie"
    for plot in ("accuracy", "gradient", "agreement"):
        assert f"](memory/{plot}.svg)" in page


def test_probe_says_what_to_install(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delitem(sys.modules, "training.plots", raising=False)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert main(words) == 2
    assert "`make setup-train` installs it" in capsys.readouterr().err

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cli import evaluate
from cli.main import main
from tests.small import write_model


@pytest.fixture
def data(tmp_path: Path) -> str:
    path = tmp_path / "own" / "dev.csv"
    path.parent.mkdir()
    path.write_text("text,label\ngreat film,1\ndull,0\n")
    return str(path)


def test_evaluate_prints_and_keeps_its_scores(
    weights: Path, data: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_model(weights, accuracy={"other/dev": {"accuracy": 0.5}})
    before = {path.name: path.read_bytes() for path in folder.path.iterdir()}
    words = ["evaluate", "lstm", "--data", data, "--weights", str(weights)]
    assert main(words) == 0
    assert "own/dev: 2 rows" in capsys.readouterr().out
    card = json.loads((folder.path / "card.json").read_text())
    assert card["accuracy"]["other/dev"] == {"accuracy": 0.5}
    assert card["accuracy"]["own/dev"]["rows"] == 2
    assert card["accuracy"]["own/dev"]["command"] == f"lockstep {' '.join(words)}"
    for name in set(before) - {"card.json"}:
        assert (folder.path / name).read_bytes() == before[name]


def test_evaluate_can_leave_the_card_alone(weights: Path, data: str) -> None:
    folder = write_model(weights)
    before = (folder.path / "card.json").read_bytes()
    assert main(["evaluate", "lstm", f"--data={data}", f"--weights={weights}", "--no-write"]) == 0
    assert (folder.path / "card.json").read_bytes() == before


def test_evaluate_reads_all_data_before_it_runs(
    weights: Path, data: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--data", data, "--data", "nowhere.tsv", "--weights", str(weights)]
    assert main(["evaluate", "lstm", *words]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "lockstep evaluate: nowhere.tsv doesn't exist" in printed.err


def test_evaluate_refuses_labels_the_model_doesnt_know(
    weights: Path, data: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write_model(weights, labels=("ham", "spam", "eggs"))
    Path(data).write_text("text,label\nfine,positive\n")
    assert main(["evaluate", "lstm", f"--data={data}", f"--weights={weights}"]) == 2
    assert "label is 'positive'; the model's labels are ham, spam, eggs" in capsys.readouterr().err


def test_evaluate_counts_every_text_under_every_way_it_is_run(
    weights: Path, data: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_model(weights, "mingru", architecture="mingru")
    bars: list[tuple[int, list[int]]] = []

    @contextmanager
    def counted(total: int, unit: str) -> Iterator[Callable[[int], object]]:
        bars.append((total, []))
        yield bars[-1][1].append

    monkeypatch.setattr(evaluate, "progress", counted)
    assert main(["evaluate", "mingru", f"--data={data}", f"--weights={weights}"]) == 0
    ((total, told),) = bars
    assert total in (4, 8)  # two texts, two schedules, and bfloat16 where there is any
    assert sum(told) == total

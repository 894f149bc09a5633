"""The README's table against the shipped cards, and the cards against the code."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from models import checkpoint, cost
from models import folder as folders
from models.registry import ARCHITECTURES
from service.settings import SHIPPED_WEIGHTS
from tests.launch import ROOT

CARDS = folders.discover(SHIPPED_WEIGHTS)
README = (ROOT / "README.md").read_text(encoding="utf-8")
ROWS = {
    cells[0].strip("` "): [cell.strip() for cell in cells]
    for line in README.splitlines()
    if line.startswith("| `")
    for cells in [line.strip("|").split("|")]
}


def test_table_has_every_shipped_model_and_no_other() -> None:
    assert set(CARDS) == set(ROWS)
    assert {folder.architecture for folder in CARDS.values()} <= set(ARCHITECTURES)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_architecture_is_described(architecture: str) -> None:
    described = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")
    assert f"| `{architecture}` |" in described


def share_right(scores: dict[str, Any]) -> float:
    """Accuracy to every digit: what is rounded once isn't rounded again."""
    hits = sum(row[label] for label, row in enumerate(scores["confusion"]))
    return float(hits / scores["rows"])


@pytest.mark.parametrize("name", CARDS)
def test_table_says_what_the_card_says(name: str) -> None:
    card = CARDS[name].card
    sst2, imdb = (share_right(card["accuracy"][data]) for data in ("sst2/dev", "imdb/dev"))
    assert ROWS[name][-2:] == [f"{100 * sst2:.1f}", f"{100 * imdb:.1f}"]
    assert ROWS[name][2] == f"{card['cost']['parameters']['encoder'] / 1e6:.2f} M"


@pytest.mark.parametrize("name", CARDS)
def test_card_says_what_the_code_computes(name: str) -> None:
    embedding = checkpoint.load_embedding(SHIPPED_WEIGHTS / folders.WORDPIECE)
    classifier = checkpoint.load(CARDS[name], embedding)
    assert CARDS[name].card["cost"] == cost.cost(classifier).to_dict()


@pytest.mark.parametrize("name", CARDS)
def test_card_tells_how_each_figure_was_made(name: str) -> None:
    card = CARDS[name].card
    made = card["training"]
    runs = made.get("averaged", [made])
    if "averaged" in made:
        assert made["command"].startswith("lockstep average ")
        assert all(run["name"] in made["command"] for run in runs)
    for run in runs:
        assert run["command"].startswith(f"lockstep train {CARDS[name].architecture}")
    for evaluation in card["accuracy"].values():
        assert evaluation["command"].startswith(f"lockstep evaluate {name}")
        confusion = evaluation["confusion"]
        right = sum(confusion[label][label] for label in range(len(confusion)))
        assert right / evaluation["rows"] == pytest.approx(evaluation["accuracy"], abs=1e-4)
    assert not re.search(r"/(home|root|tmp|work)/", str(card))


@pytest.mark.parametrize("name", CARDS)
def test_labels_in_bfloat16_are_those_of_float32(name: str) -> None:
    accuracy = CARDS[name].card["accuracy"]
    shares = [accuracy[data]["bfloat16_agrees"] for data in ("sst2/dev", "imdb/dev")]
    assert min(shares) >= 0.995
    page = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")
    assert f"| `{name}` | {shares[0]:.2%} | {shares[1]:.2%} |" in page


@pytest.mark.parametrize("name", CARDS)
def test_score_is_a_probability(name: str) -> None:
    accuracy = CARDS[name].card["accuracy"]
    assert accuracy["sst2/dev"]["calibration_error"] <= 0.05
    assert accuracy["imdb/dev"]["calibration_error"] <= 0.03
    assert all(scores["calibration_noise"] > 0 for scores in accuracy.values())


@pytest.mark.parametrize("name", CARDS)
def test_schedules_agree_on_every_row(name: str) -> None:
    card = CARDS[name].card
    two = len(card["cost"].get("schedules", {})) > 1
    agreed = {scores.get("schedules_agree") for scores in card["accuracy"].values()}
    assert agreed == ({1.0} if two else {None})


@pytest.mark.parametrize("name", CARDS)
def test_encoder_of_another_size_says_why(name: str) -> None:
    card = CARDS[name].card
    matched = abs(card["cost"]["parameters"]["encoder"] / 2.5e6 - 1) <= 0.05
    assert matched or "10.8 million" in card["size"]
    assert not (matched and "size" in card)


@pytest.mark.parametrize("name", CARDS)
def test_card_says_what_was_tried_and_how_fast_it_trains(name: str) -> None:
    card = CARDS[name].card
    for one in card["tried"]:
        assert one["command"].startswith("lockstep ")
        assert one["command"] != card["training"]["command"]
        assert set(one["accuracy"]) == {"sst2/dev", "imdb/dev"}
    assert set(card["training_speed"]["cpu"]["tokens_per_second"]) == {"float32", "bfloat16"}


def test_cards_and_the_page_tell_one_memory() -> None:
    measured = json.loads((ROOT / "docs" / "memory" / "probe.json").read_text(encoding="utf-8"))
    probed = {model["model"]: model for model in measured["models"]}
    assert set(probed) == {*CARDS, "lstm-last", "rnn-last"}
    dashed = {name for name, model in probed.items() if model["variant"]}
    assert dashed == {"rnn-last", "lstm-last", "minilm"}
    for name, folder in CARDS.items():
        assert probed[name]["sha256"] == folder.sha256["weights"]
        assert probed[name]["memory_horizon"] == folder.card["memory_horizon"]
        assert probed[name]["forgetting"].items() <= folder.card["memory"].items()
    page = (ROOT / "docs" / "memory.md").read_text(encoding="utf-8")
    assert measured["command"] in page


def test_shipped_weights_are_small_and_hold_no_pickle() -> None:
    files = [path for path in SHIPPED_WEIGHTS.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 120_000_000
    assert {path.suffix for path in files} == {".json", ".safetensors"}

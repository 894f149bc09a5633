"""What a card keeps of the model that another replaces."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from models import folder as folders
from models import registry
from models.checkpoint import load_embedding
from models.folder import WORDPIECE, ModelFolder
from models.tokenizer import Tokenizer
from training.data import Row
from training.material import Source
from training.recipes import OTHER_SIZES
from training.store import store, told_before

ROWS = [Row("great film", "1"), Row("dull", "0"), Row("a fine story", "1")]
MEASURED = {
    "accuracy": {"a/dev": {"rows": 9, "accuracy": 0.75}},
    "memory_horizon": 40,
    "memory": {"rows": 9},
    "training_speed": {"cpu": {"tokens_per_second": {"float32": 10}}},
}


def stored(weights: Path, seed: int, architecture: str = "lstm") -> ModelFolder:
    """A model named own, as if trained from ``seed``."""
    torch.manual_seed(seed)
    embedding = load_embedding(weights / WORDPIECE)
    config = registry.ARCHITECTURES[architecture].config()
    classifier = registry.build(architecture, config, embedding)
    tokenizer = Tokenizer.load(weights / WORDPIECE)
    source = Source("own/train", 1.0, ROWS, ROWS)
    made = {"command": f"lockstep train {architecture} --seed {seed}", "held_back_accuracy": 0.5}
    return store(classifier, architecture, weights / "own", tokenizer, [source], made)


@pytest.fixture
def measured(weights: Path) -> ModelFolder:
    """A model that everything was measured of."""
    folder = stored(weights, 1)
    assert folder.card["tried"] == []
    folder = replace(folder, card=folder.card | MEASURED)
    folders.write(folder)
    return folder


def test_same_model_again_keeps_what_was_measured(weights: Path, measured: ModelFolder) -> None:
    assert stored(weights, 1) == measured


def test_better_model_tells_what_it_replaced(weights: Path, measured: ModelFolder) -> None:
    card = stored(weights, 2).card
    assert card["tried"] == [
        {
            "command": "lockstep train lstm --seed 1",
            "held_back_accuracy": 0.5,
            "accuracy": {"a/dev": 0.75},
        }
    ]
    assert card["training_speed"] == MEASURED["training_speed"]
    assert card["accuracy"] == {}
    assert "memory" not in card
    assert "memory_horizon" not in card
    third = stored(weights, 3).card
    assert [one["command"][-1] for one in third["tried"]] == ["1", "2"]


def test_broken_card_is_written_over(weights: Path, measured: ModelFolder) -> None:
    (measured.path / folders.CARD_FILE).write_text("{")
    assert stored(weights, 2).card["tried"] == []


def test_speed_of_another_kind_is_not_kept(weights: Path, measured: ModelFolder) -> None:
    other = replace(measured, config=measured.config | {"hidden_size": 9}, sha256={})
    assert "training_speed" not in told_before(measured, other)
    assert "training_speed" in told_before(measured, replace(measured, sha256={}))


def test_architecture_of_another_size_says_why(
    weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "size" not in stored(weights, 1).card
    monkeypatch.setitem(OTHER_SIZES, "lstm", "given")
    assert stored(weights, 1).card["size"] == "given"

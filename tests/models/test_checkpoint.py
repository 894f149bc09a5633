"""A folder to a model and back; what doesn't fit is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from models import checkpoint
from models import folder as folders
from models.errors import CheckpointError
from models.folder import ModelFolder
from tests.small import write_model


def load(weights: Path, name: str = "lstm") -> torch.nn.Module:
    embedding = checkpoint.load_embedding(weights / "wordpiece")
    return checkpoint.load(folders.read(weights / name), embedding)


def reconfigure(folder: ModelFolder, **values: Any) -> None:
    path = folder.path / folders.CONFIG_FILE
    config = json.loads(path.read_text())
    config["config"] |= values
    path.write_text(json.dumps(config))


def test_checkpoint_survives_saving_and_loading(weights: Path) -> None:
    saved = write_model(weights, labels=("bad", "fair", "good"))
    stored = load_file(saved.path / folders.WEIGHTS_FILE)
    classifier = load(weights)
    assert not classifier.training
    assert classifier.state_dict().keys() == stored.keys()
    for name, tensor in classifier.state_dict().items():
        assert torch.equal(tensor, stored[name].float())
        assert stored[name].dtype == torch.float16


def test_checkpoint_saved_again_is_the_same(weights: Path) -> None:
    saved = write_model(weights)
    embedding = checkpoint.load_embedding(weights / "wordpiece")
    assert checkpoint.save(saved, checkpoint.load(saved, embedding)) == saved


def test_predictor_comes_with_its_tokenizer_and_temperature(weights: Path) -> None:
    saved = write_model(weights)
    folder, predictor = checkpoint.load_predictor(weights, "lstm")
    assert folder == saved
    assert predictor.temperature == 1.5
    assert predictor.predict(["a great film"])[0].prepared.tokens == 5


def test_predictor_of_a_damaged_model_is_refused(weights: Path) -> None:
    path = write_model(weights).path / folders.WEIGHTS_FILE
    path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(CheckpointError, match="damaged or half written"):
        checkpoint.load_predictor(weights, "lstm")


@pytest.mark.parametrize(
    "values",
    [
        {"hidden_size": 9},
        {"hidden_size": "8"},
        {"num_layers": 2},
        {"labels": ["one", "two", "three"]},
        {"input_size": 9},
        {"pooling": "median"},
        {"depth": 3},
    ],
)
def test_config_that_doesnt_fit_is_refused(weights: Path, values: dict[str, Any]) -> None:
    reconfigure(write_model(weights), **values)
    with pytest.raises(
        CheckpointError, match=r"(?s)don't match the config: .*; .*train the model again"
    ):
        load(weights)


def test_heads_that_dont_fit_are_refused(weights: Path) -> None:
    for heads in (0, 3):
        reconfigure(write_model(weights, architecture="transformer"), num_heads=heads)
        with pytest.raises(CheckpointError, match="don't match the config"):
            load(weights)


def test_unknown_architecture_is_refused(weights: Path) -> None:
    path = write_model(weights).path / folders.CONFIG_FILE
    path.write_text(path.read_text().replace('"lstm"', '"perceptron"'))
    with pytest.raises(CheckpointError, match=r"no architecture 'perceptron'; there are: .*lstm"):
        load(weights)


def test_weights_that_arent_safetensors_are_refused(weights: Path) -> None:
    folder = write_model(weights)
    (folder.path / folders.WEIGHTS_FILE).write_bytes(b"\x80\x04N.")  # a pickle
    with pytest.raises(CheckpointError, match=r"model\.safetensors can't be read"):
        load(weights)


def test_table_with_other_tensors_is_refused(weights: Path) -> None:
    path = weights / folders.WORDPIECE / folders.EMBEDDING_FILE
    checkpoint.save_tensors(path, {"table": torch.zeros(2, 2)})
    with pytest.raises(CheckpointError, match="must hold one tensor, weight"):
        checkpoint.load_embedding(path.parent)

"""Features dropped in training, and in training alone."""

from __future__ import annotations

import pytest
import torch

from models import registry
from models.base import Classifier
from models.embedding import FrozenEmbedding
from training.data import DataError
from training.dropout import add_dropout


def classifier(architecture: str) -> Classifier:
    torch.manual_seed(1)
    config = registry.ARCHITECTURES[architecture].config()
    return registry.build(architecture, config, FrozenEmbedding.random(50, config.input_size))


def logits(model: Classifier, seed: int) -> torch.Tensor:
    torch.manual_seed(seed)
    ids = torch.arange(12).view(2, 6)
    answered: torch.Tensor = model(ids, torch.ones_like(ids, dtype=torch.bool))
    return answered


@pytest.mark.parametrize("architecture", ["minilm", "transformer"])
def test_dropout_acts_in_training_alone(architecture: str) -> None:
    model = classifier(architecture)
    before = logits(model.eval(), 0)
    add_dropout(model, 0.5)
    assert torch.equal(logits(model.eval(), 0), before)
    model.train()
    assert not torch.equal(logits(model, 0), before)
    assert not torch.equal(logits(model, 0), logits(model, 1))
    assert torch.equal(logits(model, 0), logits(model, 0))


def test_dropout_takes_the_same_features_at_every_position() -> None:
    model = classifier("minilm").train()
    seen: list[torch.Tensor] = []
    add_dropout(model, 0.5)
    branch = model.encoder.get_submodule("blocks.0.contract")
    branch.register_forward_hook(lambda module, arguments, output: seen.append(output))
    logits(model, 3)
    dropped = seen[0] == 0  # (B, T, D)
    assert torch.equal(dropped, dropped[:, :1].expand_as(dropped))
    assert 0.3 < dropped.float().mean() < 0.7
    assert not torch.equal(dropped[0], dropped[1])


def test_dropout_of_nothing_changes_nothing() -> None:
    add_dropout(classifier("lstm"), 0.0)


def test_dropout_refuses_what_has_no_branches() -> None:
    with pytest.raises(DataError, match="no residual branches"):
        add_dropout(classifier("lstm"), 0.1)

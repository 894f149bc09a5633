"""A new architecture is one file, one line and one folder: nothing else in the house is edited."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from starlette.testclient import TestClient
from torch import Tensor, nn

from cli.main import main
from models import checkpoint
from models.base import ClassifierConfig, Encoder, Schedule
from models.folder import ModelFolder
from models.registry import ARCHITECTURES, Architecture
from models.tokenizer import Tokenizer
from service.api.app import create_app
from service.api.catalogue import Catalogue
from service.engine.compute import Compute
from service.settings import Settings
from tests.small import write_model

TEXT = "a great film"


# What would be models/bag.py.
@dataclass(frozen=True, kw_only=True, slots=True)
class BagConfig(ClassifierConfig):
    input_size: int = 8
    d_model: int = 4


class BagEncoder(Encoder):
    """Every word by itself: the pooling makes a bag of them."""

    def __init__(self, config: BagConfig) -> None:
        super().__init__()
        self.config = config
        self.output_size = config.d_model
        self.project = nn.Linear(config.input_size, config.d_model)

    def forward(
        self, embeddings: Tensor, attention_mask: Tensor, schedule: Schedule | None = None
    ) -> Tensor:
        return torch.tanh(self.project(embeddings))

    def flops(self, length: int) -> int:
        return 2 * length * self.project.weight.numel()

    def sequential_depth(self, length: int, schedule: Schedule | None = None) -> int:
        return 1

    def reach(self) -> tuple[int | None, ...]:
        return (0,)

    def longest_path(self, length: int) -> int:
        return 1


@pytest.fixture
def bag(weights: Path, monkeypatch: pytest.MonkeyPatch) -> ModelFolder:
    """The one line and the one folder."""
    monkeypatch.setitem(ARCHITECTURES, "bag", Architecture(BagConfig, BagEncoder))
    return write_model(weights, "bag", architecture="bag")


def expected_logits(weights: Path) -> list[float]:
    """By hand: tanh of each word's projection, their mean and their maximum, the head."""
    model = {name: t.double() for name, t in load_file(weights / "bag/model.safetensors").items()}
    table = load_file(weights / "wordpiece/embedding.safetensors")["weight"].double()
    (tokens,) = Tokenizer.load(weights / "wordpiece").encode([TEXT])
    projected = table[tokens.ids] @ model["encoder.project.weight"].T
    states = (projected + model["encoder.project.bias"]).tanh()
    pooled = torch.cat((states.mean(0), states.amax(0)))
    logits: list[float] = (model["head.weight"] @ pooled + model["head.bias"]).tolist()
    return logits


def test_new_architecture_classifies(weights: Path, bag: ModelFolder) -> None:
    folder, predictor = checkpoint.load_predictor(weights, "bag")
    (prediction,) = predictor.predict([TEXT])
    logits = torch.tensor(expected_logits(weights))
    assert folder == bag
    assert prediction.verdict.scores == pytest.approx(
        dict(zip(folder.labels, (logits / 1.5).softmax(0).tolist(), strict=True)), abs=1e-5
    )


def test_command_line_classifies_with_a_new_architecture(
    weights: Path, bag: ModelFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["classify", TEXT, "--model", "bag", "--weights", str(weights)]) == 0
    assert capsys.readouterr().out.startswith(("positive", "negative"))


def test_command_line_lists_a_new_architecture(
    weights: Path, bag: ModelFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    write_model(weights)
    assert main(["models", "--weights", str(weights)]) == 0
    _, row, other = capsys.readouterr().out.splitlines()
    assert row.split() == ["bag", "bag", "36", "any", "1", "1.50"]
    assert other.startswith("lstm")


def test_service_computes_with_a_new_architecture(
    weights: Path, bag: ModelFolder, threads: int
) -> None:
    compute = Compute(weights, ["bag"], "cpu", "float32", threads)
    (tokens,) = Tokenizer.load(weights / "wordpiece").encode([TEXT])
    (logits,) = compute.run("bag", None, [tokens.ids]).logits
    assert logits == pytest.approx(expected_logits(weights), abs=1e-5)
    assert compute.flops("bag", 10) == 2 * 10 * 8 * 4 + 2 * 8 * 2
    assert compute.sequential_depth("bag", 10, None) == 1


def test_api_lists_a_new_architecture(weights: Path, bag: ModelFolder) -> None:
    catalogue = Catalogue({"bag": bag}, "bag", Tokenizer.load(weights / "wordpiece"))
    client = TestClient(create_app(Settings(weights=weights), catalogue, [], weights))
    (listed,) = client.get("/v1/models").json()["models"]
    assert listed == client.get("/v1/models/bag").json()
    assert listed["architecture"] == "bag"
    assert listed["parameters"] == {"embedding": 36 * 8, "encoder": 8 * 4 + 4, "head": 8 * 2 + 2}
    assert (listed["sequential_depth"], listed["longest_path"], listed["window"]) == (1, 1, None)
    assert (listed["reach"], listed["stride"]) == ([0], 0)

"""``lockstep train`` takes the GPU that there is."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch

from cli.main import main
from models.checkpoint import load_predictor

# Lightning has advice for every machine, and the versions beside a GPU aren't always ours.
pytestmark = [pytest.mark.gpu, pytest.mark.filterwarnings("default")]

WORDS = {"bad": ["awful", "dull"], "good": ["great", "fast"]}


def write_rows(path: Path, count: int = 80) -> Path:
    generator = random.Random(1)
    lines = ["text,label"]
    for number in range(count):
        label = list(WORDS)[number % 2]
        words = generator.choices(["a", "the", "film", "story", "one", "two"], k=5)
        words.insert(generator.randint(0, 5), generator.choice(WORDS[label]))
        lines.append(f"{' '.join(words)},{label}")
    path.parent.mkdir()
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("architecture", ["lstm", "mingru", "transformer"])
def test_training_runs_on_the_gpu_and_learns(
    weights: Path, tmp_path: Path, architecture: str, precision: str
) -> None:
    data = write_rows(tmp_path / "own" / "train.csv")
    torch.cuda.reset_peak_memory_stats()
    held = torch.cuda.memory_allocated()
    recipe = {"learning-rate": 0.02, "passes": 6, "batch-rows": 8, "slices": 3, "excerpts": 1}
    options = {"data": data, "name": "own", "weights": weights, "work": tmp_path / "work"}
    words = ["train", architecture, "--precision", precision]
    for name, value in (options | recipe).items():
        words += [f"--{name}", str(value)]
    assert main(words) == 0
    assert torch.cuda.max_memory_allocated() > held
    _, predictor = load_predictor(weights, "own", "cuda")
    predictions = predictor.predict(["a film , awful", "the great story"])
    assert [prediction.verdict.label for prediction in predictions] == ["bad", "good"]

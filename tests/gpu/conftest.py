"""What only a GPU can show. Without one each test says so and is skipped."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.small import weights as weights

# torch's advice on settings that nobody here touches, and on its own check for waiting.
ADVICE = ("ignore:.*TF32 behavior", "ignore:Synchronization debug mode")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            for advice in ADVICE:
                item.add_marker(pytest.mark.filterwarnings(advice))


@pytest.fixture(autouse=True, scope="session")
def gpu() -> torch.device:
    if not torch.cuda.is_available():
        pytest.skip("torch sees no GPU here")
    return torch.device("cuda")


@pytest.fixture
def every_digit(monkeypatch: pytest.MonkeyPatch) -> None:
    """cuDNN's recurrences in whole float32: torch lets them drop to TF32's ten bits."""
    monkeypatch.setattr(torch.backends.cudnn.rnn, "fp32_precision", "ieee")

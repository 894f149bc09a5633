"""What several tests of the engine need."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch


@pytest.fixture
def threads() -> Iterator[None]:
    """torch's number of them is what it was, when the test is over."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)

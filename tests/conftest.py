"""What tests in several folders share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.launch import Service


@pytest.fixture
def threads() -> Iterator[int]:
    """torch's number of them, which it is again when the test is over."""
    import torch  # here: not every test needs it

    before = torch.get_num_threads()
    yield before
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The whole service with the shipped weights and the default settings, one for all tests."""
    from tests.launch import Service  # here: tests of the models alone need no HTTP

    with Service(log=tmp_path_factory.mktemp("service") / "log") as running:
        yield running

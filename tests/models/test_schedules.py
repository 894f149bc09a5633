"""Both orders of every encoder that has two: the papers' states, the same states and gradients."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from models.base import Encoder, Schedule
from models.registry import ARCHITECTURES
from tests.models import mingru_loop, test_mamba

# Each has ``encoder``, which builds one from a config, a SMALL config, and the paper as a ``loop``.
REFERENCES: dict[str, ModuleType] = {"mamba": test_mamba, "mingru": mingru_loop}


@pytest.fixture(params=REFERENCES)
def architecture(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def shipped(architecture: str) -> Encoder:
    encoder: Encoder = REFERENCES[architecture].encoder(ARCHITECTURES[architecture].config())
    return encoder


def make_small(architecture: str) -> Any:
    reference = REFERENCES[architecture]
    return reference.encoder(reference.SMALL)


def test_every_encoder_with_two_orders_is_here() -> None:
    built = {name: entry.encoder(entry.config()) for name, entry in ARCHITECTURES.items()}
    assert {name for name, encoder in built.items() if encoder.schedules} == set(REFERENCES)


@pytest.mark.parametrize("schedule", ["serial", "parallel", None])
@pytest.mark.parametrize("length", [1, 2, 5, 33])
@torch.inference_mode()
def test_states_are_the_papers(architecture: str, schedule: Schedule | None, length: int) -> None:
    small = make_small(architecture)
    loop: Callable[[Any, Tensor], Tensor] = REFERENCES[architecture].loop
    embeddings = torch.randn(2, length, 6)
    states = small(embeddings, torch.ones(2, length, dtype=torch.bool), schedule)
    wanted = torch.stack([loop(small, text) for text in embeddings])
    torch.testing.assert_close(states.double(), wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("length", [1, 2, 37, 1000])
@torch.inference_mode()
def test_schedules_give_the_same_states(shipped: Encoder, length: int) -> None:
    embeddings, mask = torch.randn(2, length, 384), torch.ones(2, length, dtype=torch.bool)
    serial, parallel = (shipped(embeddings, mask, name) for name in shipped.schedules)
    torch.testing.assert_close(serial, parallel, rtol=1e-4, atol=1e-5)
    assert torch.equal(shipped(embeddings, mask), parallel)


def test_schedules_give_the_same_gradients(architecture: str) -> None:
    embeddings, mask = torch.randn(2, 21, 6), torch.ones(2, 21, dtype=torch.bool)
    gradients = []
    for name in ("serial", "parallel"):
        small = make_small(architecture)
        small(embeddings, mask, name).square().sum().backward()
        gradients.append([parameter.grad for parameter in small.parameters()])
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("length", "serial", "parallel"), [(1, 4, 4), (2, 8, 4), (128, 512, 28), (1000, 4000, 40)]
)
def test_depth_is_every_step_or_a_logarithm(
    shipped: Encoder, length: int, serial: int, parallel: int
) -> None:
    assert shipped.sequential_depth(length, "serial") == serial
    assert shipped.sequential_depth(length, "parallel") == parallel
    assert shipped.sequential_depth(length) == parallel

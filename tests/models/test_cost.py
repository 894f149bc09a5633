"""The stated price of each architecture, against torch's own counters."""

from __future__ import annotations

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from models import cost
from models.base import Classifier
from models.embedding import FrozenEmbedding
from models.registry import ARCHITECTURES, build
from tests.models.test_contract import make

# Layers are 2 in the recurrent encoders, 9 in the CNN, 4 in the Transformer, 6 in MiniLM.
DEPTHS = {
    "rnn": (2, 256),
    "gru": (2, 256),
    "lstm": (2, 256),
    "bilstm": (2, 256),
    "mingru": (4, 28),  # 7 levels of a scan a layer
    "mamba": (4, 28),
    "cnn": (9, 9),
    "fnn": (2, 2),
    "transformer": (4, 4),
    "minilm": (6, 6),
}
PATHS = {
    "rnn": (1, 128),
    "gru": (1, 128),
    "lstm": (1, 128),
    "bilstm": (1, 128),
    "mingru": (1, 119),  # four layers, each with three words skipped, and the other 115 in turn
    "mamba": (1, 119),
    "cnn": (1, 55),
    "fnn": (1, 1),
    "transformer": (1, 1),
    "minilm": (1, 1),
}


def counted(classifier: Classifier, length: int) -> int:
    """Operations of the matrix products that torch saw, every fused kernel taken apart."""
    embeddings = torch.randn(1, length, classifier.config.input_size)
    mask = torch.ones(1, length, dtype=torch.bool)
    counter = FlopCounterMode(display=False)
    apart = torch.backends.mkldnn.flags(enabled=False)
    with apart, sdpa_kernel(SDPBackend.MATH), torch.no_grad(), counter:
        classifier.encoder(embeddings, mask)
    return counter.get_total_flops()


@pytest.mark.filterwarnings("ignore:TF32 acceleration:UserWarning")
@pytest.mark.parametrize("architecture", sorted(ARCHITECTURES))
@pytest.mark.parametrize("length", [1, 20])
def test_flops_are_those_torch_counts(architecture: str, length: int) -> None:
    classifier = make(architecture)
    assert classifier.encoder.flops(length) == counted(classifier, length)


@pytest.mark.parametrize("architecture", sorted(ARCHITECTURES))
def test_parameters_are_all_accounted_for(architecture: str) -> None:
    classifier = make(architecture)
    parameters = cost.cost(classifier).parameters
    assert parameters["embedding"] == classifier.embedding.weight.numel()
    assert parameters["encoder"] + parameters["head"] == sum(
        tensor.numel() for tensor in classifier.state_dict().values()
    )


@pytest.mark.parametrize("architecture", sorted(DEPTHS))
def test_depth_and_path_grow_with_length_where_steps_wait(architecture: str) -> None:
    encoder = make(architecture).encoder
    assert (encoder.sequential_depth(1), encoder.sequential_depth(128)) == DEPTHS[architecture]
    assert (encoder.longest_path(1), encoder.longest_path(128)) == PATHS[architecture]


def test_schedules_are_told_where_there_are_any() -> None:
    assert cost.cost(make("mingru")).to_dict()["schedules"] == {"serial": 512, "parallel": 28}
    assert "schedules" not in cost.cost(make("lstm")).to_dict()


def test_flops_include_the_head() -> None:
    classifier = make("lstm")
    expected = classifier.encoder.flops(9) + 2 * 800 * 3
    assert cost.flops(classifier, 9) == expected


def test_cost_is_per_token_at_the_stated_length() -> None:
    config = ARCHITECTURES["lstm"].config()
    classifier = build("lstm", config, FrozenEmbedding.random(10, config.input_size))
    price = cost.cost(classifier, 64).to_dict()
    assert price["length"] == 64
    assert price["flops_per_token"] == cost.flops(classifier, 64) // 64
    assert price["sequential_depth"] == 128

from __future__ import annotations

import pytest

from models.embedding import FrozenEmbedding
from models.errors import InputError
from models.lstm import LSTMConfig
from models.minilm import MiniLMConfig, MiniLMEncoder
from models.registry import build
from models.transformer import TransformerConfig, TransformerEncoder


def test_build_names_the_known_architectures() -> None:
    with pytest.raises(InputError, match=r"no architecture 'perceptron'; there are: .*lstm"):
        build("perceptron", LSTMConfig(), FrozenEmbedding.random(10, 384))


def test_build_refuses_another_architectures_config() -> None:
    with pytest.raises(InputError, match="transformer takes TransformerConfig, not LSTMConfig"):
        build("transformer", LSTMConfig(), FrozenEmbedding.random(10, 384))


def test_build_refuses_a_table_of_another_width() -> None:
    with pytest.raises(InputError, match="the embedding is 7 wide; the config says 384"):
        build("lstm", LSTMConfig(), FrozenEmbedding.random(10, 7))


def test_encoder_refuses_heads_that_dont_share_its_width() -> None:
    with pytest.raises(ValueError, match="3 heads"):
        TransformerEncoder(TransformerConfig(num_heads=3))
    with pytest.raises(ValueError, match="7 heads"):
        MiniLMEncoder(MiniLMConfig(num_heads=7))


def test_minilm_refuses_to_have_no_window() -> None:
    with pytest.raises(ValueError, match="max_length"):
        MiniLMEncoder(MiniLMConfig(max_length=None))

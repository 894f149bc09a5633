"""Every architecture there is, one line each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from models.base import Classifier, ClassifierConfig, Encoder
from models.bilstm import BiLSTMConfig, BiLSTMEncoder
from models.cnn import CNNConfig, CNNEncoder
from models.embedding import FrozenEmbedding
from models.errors import InputError
from models.fnn import FNNConfig, FNNEncoder
from models.gru import GRUConfig, GRUEncoder
from models.lstm import LSTMConfig, LSTMEncoder
from models.mamba import MambaConfig, MambaEncoder
from models.mingru import MinGRUConfig, MinGRUEncoder
from models.minilm import MiniLMConfig, MiniLMEncoder
from models.rnn import RNNConfig, RNNEncoder
from models.transformer import TransformerConfig, TransformerEncoder


@dataclass(frozen=True, slots=True)
class Architecture:
    """A name's code: the config it is described by and the encoder built from one."""

    config: type[ClassifierConfig]
    encoder: Callable[[Any], Encoder]


ARCHITECTURES: dict[str, Architecture] = {
    "rnn": Architecture(RNNConfig, RNNEncoder),
    "gru": Architecture(GRUConfig, GRUEncoder),
    "lstm": Architecture(LSTMConfig, LSTMEncoder),
    "bilstm": Architecture(BiLSTMConfig, BiLSTMEncoder),
    "mingru": Architecture(MinGRUConfig, MinGRUEncoder),
    "mamba": Architecture(MambaConfig, MambaEncoder),
    "cnn": Architecture(CNNConfig, CNNEncoder),
    "fnn": Architecture(FNNConfig, FNNEncoder),
    "transformer": Architecture(TransformerConfig, TransformerEncoder),
    "minilm": Architecture(MiniLMConfig, MiniLMEncoder),
}


def build(architecture: str, config: ClassifierConfig, embedding: FrozenEmbedding) -> Classifier:
    """An untrained classifier of ``architecture``.

    Raises:
        InputError: no such architecture, or the config is of another one.
    """
    entry = ARCHITECTURES.get(architecture)
    if entry is None:
        raise InputError(f"no architecture {architecture!r}; there are: {', '.join(ARCHITECTURES)}")
    if type(config) is not entry.config:
        raise InputError(
            f"{architecture} takes {entry.config.__name__}, not {type(config).__name__}"
        )
    return Classifier(config, entry.encoder(config), embedding)

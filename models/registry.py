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
from models.mpnet import MPNetConfig, MPNetEncoder
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

# Too large to stand beside those: they teach, and have a folder of models of their own.
TEACHERS: dict[str, Architecture] = {
    "mpnet": Architecture(MPNetConfig, MPNetEncoder),
}


def find(name: str) -> Architecture:
    """The architecture of that name.

    Raises:
        InputError: there is none.
    """
    found = ARCHITECTURES.get(name) or TEACHERS.get(name)
    if found is None:
        known = ", ".join([*ARCHITECTURES, *TEACHERS])
        raise InputError(f"no architecture {name!r}; there are: {known}")
    return found


def build(architecture: str, config: ClassifierConfig, embedding: FrozenEmbedding) -> Classifier:
    """An untrained classifier of ``architecture``.

    Raises:
        InputError: no such architecture, or the config is of another one.
    """
    entry = find(architecture)
    if type(config) is not entry.config:
        raise InputError(
            f"{architecture} takes {entry.config.__name__}, not {type(config).__name__}"
        )
    return Classifier(config, entry.encoder(config), embedding)

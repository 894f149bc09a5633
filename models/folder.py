"""The folders of ``weights/``: what is in them, and whether it may be served. No torch.

    weights/wordpiece/   tokenizer.json, embedding.safetensors     shared by every model
    weights/<model>/     config.json      architecture, sizes, temperature, checksums
                         model.safetensors  encoder and head, float16
                         card.json        how it was trained, what it reached

A model belongs to the tokenizer and the table it was trained with; its config names both by their
SHA-256, and its own weights too, so that a mixed or damaged folder is refused before it serves.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models import tokenizer
from models.errors import CheckpointError

FORMAT = 1
WORDPIECE = "wordpiece"
EMBEDDING_FILE = "embedding.safetensors"
CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
CARD_FILE = "card.json"


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """A checkpoint on disk, described.

    Attributes:
        name: the folder's name, by which the model is served.
        path: the folder.
        architecture: a key of the registry.
        config: values of the architecture's config.
        temperature: of the calibration.
        sha256: of ``tokenizer``, ``embedding`` and ``weights``, as recorded when it was saved.
        card: everything else worth telling.
    """

    name: str
    path: Path
    architecture: str
    config: dict[str, Any]
    temperature: float
    sha256: dict[str, str]
    card: dict[str, Any]

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple(self.config["labels"])

    @property
    def window(self) -> int | None:
        """The longest input in tokens; None reads any length."""
        window: int | None = self.config["max_length"]
        return window


def read(path: Path) -> ModelFolder:
    """Describes a checkpoint folder.

    Raises:
        CheckpointError: a file is missing, isn't JSON, or is of another format.
    """
    config = _read_json(path / CONFIG_FILE)
    try:
        if config["format"] != FORMAT:
            raise CheckpointError(
                f"{path / CONFIG_FILE} is of format {config['format']}; this version reads {FORMAT}"
            )
        folder = ModelFolder(
            name=path.name,
            path=path,
            architecture=config["architecture"],
            config=config["config"],
            temperature=float(config["temperature"]),
            sha256=config["sha256"],
            card=_read_json(path / CARD_FILE),
        )
        if not folder.labels or not 0 < folder.temperature < math.inf:  # NaN is JSON to Python
            raise CheckpointError(f"{path / CONFIG_FILE} needs labels and a temperature above 0")
        _ = folder.window, [folder.sha256[part] for part in ("tokenizer", "embedding", "weights")]
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path / CONFIG_FILE} is incomplete: {error!r}") from error
    return folder


def write(folder: ModelFolder) -> None:
    """Writes ``config.json`` and ``card.json``; the inverse of ``read``."""
    config = {
        "format": FORMAT,
        "architecture": folder.architecture,
        "config": folder.config,
        "temperature": folder.temperature,
        "sha256": folder.sha256,
    }
    _write_json(folder.path / CONFIG_FILE, config)
    _write_json(folder.path / CARD_FILE, folder.card)


def verify(folder: ModelFolder) -> None:
    """Checks a model against its own checksum and against the tokenizer beside it.

    Raises:
        CheckpointError: they don't belong together; the message says what to do.
    """
    wordpiece = folder.path.parent / WORDPIECE
    files = {
        "weights": folder.path / WEIGHTS_FILE,
        "tokenizer": wordpiece / tokenizer.FILE_NAME,
        "embedding": wordpiece / EMBEDDING_FILE,
    }
    for part, path in files.items():
        if sha256(path) != folder.sha256[part]:
            remedy = (
                "the file is damaged or half written: restore it, or train the model again"
                if part == "weights"
                else f"the model was trained with another {part}: restore that one, or train again"
            )
            raise CheckpointError(
                f"{path} doesn't match the checksum in {folder.path / CONFIG_FILE}; {remedy}"
            )


def discover(weights: Path, names: list[str] | None = None) -> dict[str, ModelFolder]:
    """Every model below ``weights``, verified, in the order asked for or by name.

    Raises:
        CheckpointError: there is no model, not one of ``names``, or one that must not serve.
    """
    present = sorted(path.parent.name for path in weights.glob(f"*/{CONFIG_FILE}"))
    if not present:
        raise CheckpointError(
            f"{weights} holds no models (no */{CONFIG_FILE}); name the right folder with --weights"
        )
    for name in names or ():
        if name not in present:
            raise CheckpointError(f"no model {name!r} in {weights}; it holds: {', '.join(present)}")
    folders = {name: read(weights / name) for name in names or present}
    for folder in folders.values():
        verify(folder)
    return folders


def sha256(path: Path) -> str:
    """Hexadecimal digest of a file.

    Raises:
        CheckpointError: it can't be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise CheckpointError(f"{path} can't be read: {error.strerror}") from error


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CheckpointError(f"{path} can't be read: {error.strerror}") from error
    except ValueError as error:
        raise CheckpointError(f"{path} isn't JSON: {error}") from error
    if not isinstance(value, dict):
        raise CheckpointError(f"{path} must hold a JSON object")
    return value


def _write_json(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")

"""A folder of ``weights/`` to a model ready to run, and back. Safetensors only: no pickle."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import safetensors
import torch
from safetensors import torch as safetensors_torch

from models import folder as folders
from models import tokenizer
from models.base import Classifier
from models.device import resolve_device
from models.embedding import FrozenEmbedding
from models.errors import CheckpointError, InputError
from models.folder import ModelFolder
from models.predict import Predictor
from models.registry import build, find
from models.tokenizer import Tokenizer

# Of a predictor's batches: beyond it a CPU gains nothing, a GPU is still half idle below it.
PADDED_TOKENS = {"cpu": 4096, "cuda": 65536}


def load_embedding(wordpiece: Path, dtype: torch.dtype = torch.float32) -> FrozenEmbedding:
    """The shared table of a ``wordpiece`` folder, in ``dtype``.

    Raises:
        CheckpointError: the file is missing or holds something else.
    """
    tensors = _load(wordpiece / folders.EMBEDDING_FILE)
    if set(tensors) != {"weight"}:
        raise CheckpointError(f"{wordpiece / folders.EMBEDDING_FILE} must hold one tensor, weight")
    return FrozenEmbedding(tensors["weight"].to(dtype))


def load(folder: ModelFolder, embedding: FrozenEmbedding) -> Classifier:
    """A trained classifier, in evaluation mode, in float32 on the CPU.

    Args:
        folder: described by ``folder.read``.
        embedding: the table shared by every model.

    Raises:
        CheckpointError: the weights aren't those the config describes.
    """
    try:
        architecture = find(folder.architecture)
    except InputError as error:
        raise CheckpointError(f"{folder.path}: {error}") from error
    values = folder.config | {"labels": folder.labels}
    try:
        config = architecture.config(**values)
        classifier = build(folder.architecture, config, embedding)
        classifier.load_state_dict(_load(folder.path / folders.WEIGHTS_FILE))
    except (KeyError, RuntimeError, TypeError, ValueError, ZeroDivisionError) as error:
        raise CheckpointError(
            f"{folder.path}: the weights don't match the config: {error}; "
            "restore both from one source, or train the model again"
        ) from error
    return classifier.eval()


def save(folder: ModelFolder, classifier: Classifier) -> ModelFolder:
    """Writes a whole checkpoint folder, its checksums taken from what was written.

    The weights are stored in float16, which is what the service then reads: measure after a reload.
    """
    folder.path.mkdir(parents=True, exist_ok=True)
    weights_path = folder.path / folders.WEIGHTS_FILE
    halves = {
        name: tensor.detach().cpu().half().contiguous()
        for name, tensor in classifier.state_dict().items()
    }
    save_tensors(weights_path, halves)
    wordpiece = folder.path.parent / folders.WORDPIECE
    saved = replace(
        folder,
        config=classifier.config.to_dict(),
        sha256={
            "weights": folders.sha256(weights_path),
            "tokenizer": folders.sha256(wordpiece / tokenizer.FILE_NAME),
            "embedding": folders.sha256(wordpiece / folders.EMBEDDING_FILE),
        },
    )
    folders.write(saved)
    return saved


def save_tensors(path: Path, tensors: dict[str, torch.Tensor]) -> None:
    """Writes a safetensors file that may be read by whom the umask lets read."""
    # Not save_file: that makes a file only its owner may read, and another may run the service.
    path.write_bytes(safetensors_torch.save(tensors))


def load_predictor(weights: Path, name: str, device: str = "cpu") -> tuple[ModelFolder, Predictor]:
    """One model of a ``weights`` folder, verified and ready to take texts, in float32.

    Args:
        weights: the folder of models.
        name: one of them.
        device: where it is to run, as ``device.resolve_device`` has it.

    Raises:
        CheckpointError: there is no such model, or it must not be run.
        RuntimeError: the device can't be used.
    """
    place = resolve_device(device)
    folder = folders.discover(weights, [name])[name]
    wordpiece = weights / folders.WORDPIECE
    classifier = load(folder, load_embedding(wordpiece)).to(place)
    return folder, Predictor(
        Tokenizer.load(wordpiece),
        classifier,
        folder.temperature,
        max_padded_tokens=PADDED_TOKENS[place.type],
    )


def _load(path: Path) -> dict[str, torch.Tensor]:
    try:
        return {name: tensor.float() for name, tensor in safetensors_torch.load_file(path).items()}
    except (OSError, safetensors.SafetensorError) as error:
        raise CheckpointError(f"{path} can't be read: {error}") from error

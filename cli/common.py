"""What several verbs share."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from models.folder import ModelFolder
    from models.predict import Prediction

WEIGHTS = Path(__file__).resolve().parent.parent / "weights"


def add_weights_option(parser: argparse.ArgumentParser) -> None:
    """``--weights``: the folder of models; LOCKSTEP_WEIGHTS names another than the shipped one."""
    parser.add_argument(
        "--weights",
        type=Path,
        default=Path(os.environ.get("LOCKSTEP_WEIGHTS", WEIGHTS)),
        help="folder of models (the shipped one)",
    )


def describe(prediction: Prediction) -> dict[str, Any]:
    """A prediction with the names that the HTTP API gives it."""
    verdict, prepared = prediction.verdict, prediction.prepared
    return {
        "label": verdict.label,
        "score": round(verdict.score, 4),
        "scores": {label: round(score, 4) for label, score in verdict.scores.items()},
        "tokens": prepared.tokens,
        "unknown_tokens": prepared.unknown_tokens,
        "truncated": prepared.truncated,
        "segments": len(prepared.windows),
    }


def add_to_card(folder: ModelFolder, **values: Any) -> None:
    """Writes into a model's card as it stands now: hours may have passed since it was read."""
    from models import folder as folders

    now = folders.read(folder.path)
    folders.write(replace(now, card=now.card | values))


@contextmanager
def progress(total: int, unit: str) -> Iterator[Callable[[int], object]]:
    """A bar on standard error where that is a terminal; what is given is told of so many more."""
    from tqdm import tqdm

    with tqdm(total=total, unit=unit, file=sys.stderr, disable=None) as bar:
        yield bar.update


def add_json_option(parser: argparse.ArgumentParser) -> None:
    """``--json``: for programs, what is told otherwise in words."""
    parser.add_argument("--json", action="store_true", help="print JSON, for programs")


def add_forward_options(parser: argparse.ArgumentParser) -> None:
    """``--dtype`` and ``--threads``: how a bench runs forwards."""
    parser.add_argument(
        "--dtype", choices=("auto", "float32", "bfloat16"), default="auto", help="(auto)"
    )
    parser.add_argument(
        "--threads",
        type=int,
        default=len(os.sched_getaffinity(0)),
        help="cores that a forward may use (all)",
    )


def names(text: str) -> list[str]:
    """``lstm,minilm``."""
    return [name for name in text.split(",") if name]


@contextmanager
def training_installed() -> Iterator[None]:
    """Round imports of what the extra ``train`` brings; the service runs without.

    Raises:
        ValueError: something isn't installed; with what to do.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise ValueError(f"this needs {error.name}; `make setup-train` installs it") from error


def usable_device(wanted: str) -> torch.device:
    """``--device``, where a mistake is the user's.

    Raises:
        ValueError: there is no such device here.
    """
    from models.device import resolve_device

    try:
        return resolve_device(wanted)
    except RuntimeError as error:
        raise ValueError(str(error)) from error

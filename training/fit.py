"""One run on Lightning's trainer: steps, validation, checkpoints, early stopping, a curve."""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint, TQDMProgressBar
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.trainer.states import TrainerStatus

from training.data import DataError
from training.planned import Planned

EXPECTED_WARNINGS = (
    ".*exists and is not empty",  # a run's folder is where it's taken up again
    ".*does not have many workers",  # a step costs a thousand times what making its batch does
)


@dataclass(frozen=True, slots=True)
class FitReport:
    """What a run did: for the card.

    Attributes:
        steps: optimizer steps taken.
        tokens_per_second: real tokens trained on a second, forward, backward and step.
        held_back_accuracy: mean over the sources, at the slice that was kept.
        stopped_early: whether patience ran out.
        precision: ``32-true`` or ``bf16-mixed``.
    """

    steps: int
    tokens_per_second: float
    held_back_accuracy: float
    stopped_early: bool
    precision: str


class Patience(EarlyStopping):
    """Early stopping that stays stopped: a finished run, taken up again, trains no further."""

    def on_train_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        if self.wait_count >= self.patience:
            trainer.should_stop = True


def fit(module: Planned, folder: Path, precision: str) -> FitReport:
    """Runs the plan, from the start or from where ``folder`` says it stopped.

    Leaves the best slice's weights in ``module``, on the CPU, and the curve as
    ``folder/curve/metrics.csv`` (``curve-2`` and so on for what a resumed run adds).
    """
    recipe = module.recipe
    lightning.seed_everything(recipe.seed, verbose=False)
    # By accuracy: a student copies its teacher's overconfidence, which the temperature takes away.
    keeper = ModelCheckpoint(
        folder, "best", monitor="accuracy", mode="max", enable_version_counter=False
    )
    # Not the keeper's own save_last, which saves only the slices that are also the best so far.
    resumer = ModelCheckpoint(folder, "last", enable_version_counter=False)
    stopper = Patience(monitor="accuracy", mode="max", patience=recipe.patience)
    trainer = lightning.Trainer(
        accelerator="auto",
        devices=1,
        precision=precision,  # type: ignore[arg-type]
        max_epochs=module.slices,
        callbacks=[stopper, TQDMProgressBar(refresh_rate=20), keeper, resumer],
        logger=CSVLogger(folder, name="", version=_curve(folder)),
        log_every_n_steps=min(20, len(module.plan) // module.slices),
        reload_dataloaders_every_n_epochs=1,
        num_sanity_val_steps=0,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )
    last = folder / "last.ckpt"
    with warnings.catch_warnings():
        for message in EXPECTED_WARNINGS:
            warnings.filterwarnings("ignore", message)
        with _as_a_program(trainer):
            trainer.fit(module, ckpt_path=last if last.exists() else None, weights_only=True)
    module.cpu()
    best = torch.load(keeper.best_model_path, map_location="cpu", weights_only=True)
    module.load_state_dict(best["state_dict"])
    assert keeper.best_model_score is not None, "a run validates at least once"
    return FitReport(
        steps=trainer.global_step,
        tokens_per_second=module.tokens / module.seconds,
        held_back_accuracy=float(keeper.best_model_score),
        stopped_early=stopper.stopped_epoch > 0,
        precision=precision,
    )


@contextmanager
def _as_a_program(trainer: lightning.Trainer) -> Iterator[None]:
    """Bars go to standard error, and Ctrl-C stays what it is: Lightning exits with 1 instead."""
    try:
        with redirect_stdout(sys.stderr):
            yield
    except SystemExit:
        if trainer.state.status != TrainerStatus.INTERRUPTED:
            raise
        raise KeyboardInterrupt from None


def claim(folder: Path, identity: dict[str, Any]) -> None:
    """Marks ``folder`` as one run's, so that another run never goes on from its checkpoints.

    Raises:
        DataError: it holds the checkpoints of a run on other data or with other settings.
    """
    mark = folder / "run.json"
    if (folder / "last.ckpt").exists():
        if mark.exists() and json.loads(mark.read_text(encoding="utf-8")) == identity:
            return
        raise DataError(
            f"{folder} holds the checkpoints of another run: forget them with --restart, "
            "or keep them with another --work"
        )
    folder.mkdir(parents=True, exist_ok=True)
    mark.write_text(json.dumps(identity, indent=2) + "\n", encoding="utf-8")


def _curve(folder: Path) -> str:
    # The logger deletes what a folder held before, and a resumed run needs both parts.
    earlier = len(list(folder.glob("curve*")))
    return f"curve-{earlier + 1}" if earlier else "curve"

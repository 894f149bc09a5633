"""One training run on Lightning's trainer: steps, validation, checkpoints, early stopping, a curve.

The whole run is planned before it starts, as a list of batches made from the seed, and cut into
slices; what Lightning calls an epoch is one slice. A run that was stopped takes up at the slice it
was in and goes on exactly as it would have.
"""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint, TQDMProgressBar
from lightning.pytorch.loggers import CSVLogger
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader

from models.base import Classifier
from models.predict import batches_by_length, collate
from training.data import DataError
from training.dropout import add_dropout
from training.examples import Example
from training.plan import TrainingSet, all_targets, one_cycle, plan
from training.recipes import Recipe

EXPECTED_WARNINGS = (
    ".*exists and is not empty",  # a run's folder is where it's taken up again
    ".*does not have many workers",  # a step costs a thousand times what making its batch does
)

GRADIENT_NORM = 1.0  # longer gradients are cut to it

Batch = tuple[Tensor, Tensor, Tensor, Tensor]  # input_ids, attention_mask, targets, labels


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


class Fitting(lightning.LightningModule):
    """A classifier and its plan: what Lightning needs to know of either."""

    def __init__(
        self,
        classifier: Classifier,
        train: Sequence[TrainingSet],
        held_back: dict[str, list[Example]],
        recipe: Recipe,
    ) -> None:
        super().__init__()
        self.classifier = classifier
        add_dropout(classifier, recipe.dropout)
        self.recipe = recipe
        self.held_back = held_back
        self.examples = [example for source in train for example in source.examples]
        self.targets = all_targets(train)
        self.plan = plan(train, recipe)
        # No slice may be empty: Lightning takes one for the end of the run.
        self.slices = min(recipe.slices, len(self.plan))
        self.tokens, self.seconds = 0, 0.0
        self._step_began = 0.0

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        input_ids, attention_mask, targets, labels = batch
        logits = self.classifier(input_ids, attention_mask).float()
        if self.targets is None:
            loss = F.cross_entropy(logits, labels)
        else:
            loss = F.mse_loss(logits, targets)
        self.log("train_loss", loss, on_step=True, on_epoch=False, prog_bar=True)
        return loss

    def validation_step(self, batch: Batch, batch_index: int, dataloader_idx: int = 0) -> None:
        input_ids, attention_mask, _, labels = batch
        logits = self.classifier(input_ids, attention_mask).float()
        name = list(self.held_back)[dataloader_idx]
        options: dict[str, Any] = {"batch_size": len(labels), "add_dataloader_idx": False}
        self.log(f"loss/{name}", F.cross_entropy(logits, labels), **options)
        self.log(f"accuracy/{name}", (logits.argmax(1) == labels).float().mean(), **options)

    def on_validation_epoch_end(self) -> None:
        metrics = self.trainer.callback_metrics
        for kind in ("loss", "accuracy"):
            mean = torch.stack([metrics[f"{kind}/{name}"] for name in self.held_back]).mean()
            self.log(kind, mean, prog_bar=True)

    def on_train_batch_start(self, batch: Batch, batch_index: int) -> None:
        # By the step, so that a run taken up again draws what it would have drawn.
        torch.manual_seed(self.recipe.seed * 1_000_003 + self.trainer.global_step)
        self._step_began = time.perf_counter()

    def on_train_batch_end(self, outputs: Any, batch: Batch, batch_index: int) -> None:
        self.seconds += time.perf_counter() - self._step_began
        self.tokens += int(batch[1].sum())

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["pace"] = {"tokens": self.tokens, "seconds": self.seconds}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        pace = checkpoint["pace"]
        self.tokens, self.seconds = pace["tokens"], pace["seconds"]

    def configure_optimizers(self) -> Any:
        decayed = [p for p in self.parameters() if p.ndim > 1]
        plain = [p for p in self.parameters() if p.ndim <= 1]
        recipe = self.recipe
        groups: list[dict[str, Any]] = [
            {"params": decayed, "weight_decay": recipe.weight_decay},
            {"params": plain},
        ]
        optimizer = torch.optim.AdamW(
            groups,
            lr=recipe.learning_rate,
            weight_decay=0.0,
            fused=True,
        )
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: one_cycle(step / len(self.plan), recipe.warmup)
        )
        return [optimizer], [{"scheduler": schedule, "interval": "step"}]

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        # Not the trainer's own clipping, which refuses a fused optimizer under bfloat16 autocast.
        torch.nn.utils.clip_grad_norm_(self.parameters(), GRADIENT_NORM)

    def train_dataloader(self) -> DataLoader[Batch]:
        epoch = self.trainer.current_epoch
        edges = [len(self.plan) * part // self.slices for part in range(self.slices + 1)]
        return self._loader(self.plan[edges[epoch] : edges[epoch + 1]], self.examples, self.targets)

    def val_dataloader(self) -> list[DataLoader[Batch]]:
        loaders = []
        for examples in self.held_back.values():
            lengths = [len(example.ids) for example in examples]
            order = list(batches_by_length(lengths, 2 * self.recipe.batch_tokens))
            loaders.append(self._loader(order, examples, None))
        return loaders

    def _loader(
        self, order: list[list[int]], examples: list[Example], targets: Tensor | None
    ) -> DataLoader[Batch]:
        def assemble(positions: list[int]) -> Batch:
            chosen = [examples[position] for position in positions]
            input_ids, attention_mask = collate([example.ids for example in chosen])
            labels = torch.tensor([example.label for example in chosen])
            wanted = labels if targets is None else targets[positions]
            return input_ids, attention_mask, wanted, labels

        return DataLoader(order, batch_size=None, collate_fn=assemble)  # type: ignore[arg-type]


class Patience(EarlyStopping):
    """Early stopping that stays stopped: a finished run, taken up again, trains no further."""

    def on_train_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        if self.wait_count >= self.patience:
            trainer.should_stop = True


def fit(module: Fitting, folder: Path, precision: str) -> FitReport:
    """Runs the plan, from the start or from where ``folder`` says it stopped.

    Leaves the best slice's weights in ``module.classifier``, and the curve as
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
        trainer.fit(module, ckpt_path=last if last.exists() else None, weights_only=True)
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

"""What Lightning has to know of any run here: a plan of batches, cut into slices, and its rates.

The whole run is planned before it starts, as a list of batches made from the seed, and cut into
slices; what Lightning calls an epoch is one slice. A run that was stopped takes up at the slice it
was in and goes on exactly as it would have.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import lightning
import torch
from torch.utils.data import DataLoader

from models import device
from training.plan import one_cycle
from training.recipes import GRADIENT_NORM, Recipe

Plan = list[list[int]]  # batches of positions


class Planned(lightning.LightningModule, ABC):
    """A run over planned batches. Subclasses say what a batch is and what is lost on it.

    Each slice ends with a validation that logs ``accuracy``, by which the best slice is kept.

    Args:
        plan: positions of the examples of each step.
        lengths: tokens of each example.
        recipe: the run's settings.
    """

    def __init__(self, plan: Plan, lengths: Sequence[int], recipe: Recipe) -> None:
        super().__init__()
        self.recipe = recipe
        self.plan = plan
        # No slice may be empty: Lightning takes one for the end of the run.
        self.slices = min(recipe.slices, len(plan))
        self.tokens, self.seconds = 0, 0.0
        self._lengths = lengths
        self._slice_began = 0.0

    @abstractmethod
    def assemble(self, positions: list[int]) -> Any:
        """The batch of some examples, as ``training_step`` takes it."""

    @abstractmethod
    def val_dataloader(self) -> list[DataLoader[Any]]:
        """Batches of the rows held back, a loader a source."""

    def train_dataloader(self) -> DataLoader[Any]:
        return loader(self.slice_plan(self.trainer.current_epoch), self.assemble)

    def slice_plan(self, number: int) -> Plan:
        """The batches of one slice, counted from 0."""
        edges = [len(self.plan) * part // self.slices for part in range(self.slices + 1)]
        return self.plan[edges[number] : edges[number + 1]]

    def on_train_epoch_start(self) -> None:
        self._slice_began = time.perf_counter()

    def on_train_batch_start(self, batch: Any, batch_index: int) -> None:
        # By the step, so that a run taken up again draws what it would have drawn.
        torch.manual_seed(self.recipe.seed * 1_000_003 + self.trainer.global_step)

    def on_validation_start(self) -> None:
        # A slice ends here. Nothing is timed within: on a GPU each look at the clock would wait.
        device.synchronize(self.device)
        self.seconds += time.perf_counter() - self._slice_began
        batches = self.slice_plan(self.trainer.current_epoch)
        self.tokens += sum(self._lengths[position] for batch in batches for position in batch)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["pace"] = {"tokens": self.tokens, "seconds": self.seconds}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        pace = checkpoint["pace"]
        self.tokens, self.seconds = pace["tokens"], pace["seconds"]

    def configure_optimizers(self) -> Any:
        recipe = self.recipe
        groups: list[dict[str, Any]] = [
            {
                "params": [p for p in self.parameters() if p.ndim > 1],
                "weight_decay": recipe.weight_decay,
            },
            {"params": [p for p in self.parameters() if p.ndim <= 1]},
        ]
        optimizer = torch.optim.AdamW(groups, lr=recipe.learning_rate, weight_decay=0.0, fused=True)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: one_cycle(step / len(self.plan), recipe.warmup)
        )
        return [optimizer], [{"scheduler": schedule, "interval": "step"}]

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        # Not the trainer's own clipping, which refuses a fused optimizer under bfloat16 autocast.
        torch.nn.utils.clip_grad_norm_(self.parameters(), GRADIENT_NORM)


def loader(plan: Plan, assemble: Callable[[list[int]], Any]) -> DataLoader[Any]:
    """Batches in the order planned, each made when it is wanted."""
    return DataLoader(plan, batch_size=None, collate_fn=assemble)  # type: ignore[arg-type]

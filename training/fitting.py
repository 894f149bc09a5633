"""A classifier's own training: the labels, or a teacher's logits."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

from models.base import Classifier
from models.predict import batches_by_length, collate
from training.dropout import add_dropout
from training.examples import Example
from training.plan import TrainingSet, joined, plan
from training.planned import Planned, loader
from training.recipes import Recipe

# input_ids, attention_mask, targets or labels to learn, labels, hints
Batch = tuple[Tensor, Tensor, Tensor, Tensor, Tensor | None]


class Fitting(Planned):
    """A classifier, what it learns from, and what it is judged by.

    Args:
        classifier: to be trained, in place.
        train: sources with or without a teacher's logits, all alike.
        held_back: examples that choose the slice, by source.
        recipe: the run's settings.
    """

    def __init__(
        self,
        classifier: Classifier,
        train: Sequence[TrainingSet],
        held_back: dict[str, list[Example]],
        recipe: Recipe,
    ) -> None:
        examples = [example for source in train for example in source.examples]
        lengths = [len(example.ids) for example in examples]
        super().__init__(plan(train, recipe), lengths, recipe)
        self.classifier = classifier
        add_dropout(classifier, recipe.dropout)
        self.held_back = held_back
        self.examples = examples
        self.targets = joined([source.targets for source in train])
        self.hints = joined([source.hints for source in train])
        if self.hints is not None:
            self.hint = Hint(classifier.head.in_features, self.hints)

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        input_ids, attention_mask, targets, labels, hints = batch
        vectors = self.classifier.summarize(input_ids, attention_mask)
        logits = self.classifier.head(vectors).float()
        if self.targets is None:
            loss = F.cross_entropy(logits, labels)
        else:
            loss = F.mse_loss(logits, targets)
        if hints is not None:
            loss = loss + self.recipe.hints * self.hint(vectors, hints)
        self.log("train_loss", loss, on_step=True, on_epoch=False, prog_bar=True)
        return loss

    def validation_step(self, batch: Batch, batch_index: int, dataloader_idx: int = 0) -> None:
        input_ids, attention_mask, _, labels, _ = batch
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

    def assemble(self, positions: list[int]) -> Batch:
        return _batch(self.examples, self.targets, self.hints, positions)

    def val_dataloader(self) -> list[DataLoader[Batch]]:
        return [
            loader(by_length(examples, self.recipe), partial(_batch, examples, None, None))
            for examples in self.held_back.values()
        ]


class Hint(nn.Module):
    """How far a student's vectors are from its teacher's, through a layer that turns one into the
    other and is thrown away (arXiv 1412.6550, section 2.2).

    Args:
        width: of the student's vectors.
        vectors: (N, P) all of the teacher's: each feature is measured by its own spread.
    """

    mean: Tensor
    spread: Tensor

    def __init__(self, width: int, vectors: Tensor) -> None:
        super().__init__()
        self.turn = nn.Linear(width, vectors.shape[1])
        self.register_buffer("mean", vectors.mean(dim=0, dtype=torch.float32), persistent=False)
        spread = vectors.float().std(dim=0).clamp(min=1e-6)
        self.register_buffer("spread", spread, persistent=False)

    def forward(self, vectors: Tensor, wanted: Tensor) -> Tensor:
        """(B, W) and (B, P) -> the mean squared difference."""
        standard = (wanted.float() - self.mean) / self.spread
        return F.mse_loss(self.turn(vectors).float(), standard)


def by_length(examples: Sequence[Example], recipe: Recipe) -> list[list[int]]:
    """Batches for looking alone: of like length, and larger, as nothing is kept for a gradient."""
    lengths = [len(example.ids) for example in examples]
    return list(batches_by_length(lengths, 2 * recipe.batch_tokens))


def _batch(
    examples: Sequence[Example],
    targets: Tensor | None,
    hints: Tensor | None,
    positions: list[int],
) -> Batch:
    chosen = [examples[position] for position in positions]
    input_ids, attention_mask = collate([example.ids for example in chosen])
    labels = torch.tensor([example.label for example in chosen])
    wanted = labels if targets is None else targets[positions]
    return input_ids, attention_mask, wanted, labels, None if hints is None else hints[positions]

"""How each architecture is trained unless told otherwise: data, not code."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """Settings of one training run.

    Attributes:
        learning_rate: the highest, after warm-up.
        passes: times through the data.
        max_length: tokens a training text keeps (its first and last half); the window at most.
        batch_tokens: most tokens of a batch, padding included.
        batch_rows: most texts of a batch.
        warmup: share of the steps in which the rate rises.
        weight_decay: AdamW's.
        dropout: share of the features of each residual branch dropped (a Transformer's alone).
        augment: altered copies of each short text, if there is a teacher.
        excerpts: sentences drawn from each long text, if there is a teacher.
        slices: checkpoints and validations, evenly over the run.
        patience: slices without a better held-back accuracy before stopping.
        seed: of everything random.
    """

    learning_rate: float
    passes: int = 3
    max_length: int = 256
    batch_tokens: int = 4096
    batch_rows: int = 64
    warmup: float = 0.1
    weight_decay: float = 0.01
    dropout: float = 0.0
    augment: int = 2
    excerpts: int = 6
    slices: int = 12
    patience: int = 6
    seed: int = 1


RECIPES: dict[str, Recipe] = {
    # Already knows English: a few passes are enough, and a high rate would make it forget.
    "minilm": Recipe(learning_rate=5e-5, passes=2, max_length=384, dropout=0.1, slices=6),
    "lstm": Recipe(learning_rate=1e-3),
    "gru": Recipe(learning_rate=1e-3),
    "bilstm": Recipe(learning_rate=1e-3),
    # Without gates the gradient along the words is the recurrent matrix to the power of T.
    "rnn": Recipe(learning_rate=3e-4),
    "mingru": Recipe(learning_rate=1e-3),
    "mamba": Recipe(learning_rate=1e-3),
    "cnn": Recipe(learning_rate=1e-3),
    "fnn": Recipe(learning_rate=1e-3),
    # Attention diverges at the recurrences' rate.
    "transformer": Recipe(learning_rate=4e-4),
}

"""How each architecture is trained unless told otherwise: data, not code."""

from __future__ import annotations

from dataclasses import dataclass

GRADIENT_NORM = 1.0  # longer gradients are cut to it


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
        thinned: copies of each long text without some of its sentences, if there is a teacher.
        hints: weight of the squared error on the first teacher's pooled vector; 0 for none.
        masked_passes: times that a pretrained encoder first goes through the texts guessing
            hidden words, their labels unseen.
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
    thinned: int = 0
    hints: float = 0.0
    masked_passes: int = 0
    slices: int = 12
    patience: int = 6
    seed: int = 1


def masked(recipe: Recipe, window: int) -> Recipe:
    """The recipe of a run's first stage, in which hidden words are guessed.

    Its batches are large, as its gradients are noisy, and its rate is high: the layer that guesses
    is new. The whole of a text is read, in windows.
    """
    return Recipe(
        learning_rate=4e-4,
        passes=recipe.masked_passes,
        max_length=window,
        batch_tokens=16384,
        batch_rows=256,
        slices=max(1, recipe.masked_passes // 2),
        patience=recipe.masked_passes,
        augment=0,
        excerpts=0,
    )


RECIPES: dict[str, Recipe] = {
    # Already knows English: a few passes are enough, and a high rate would make it forget.
    "minilm": Recipe(
        learning_rate=5e-5, passes=2, max_length=512, dropout=0.1, slices=6, masked_passes=16
    ),
    "mpnet": Recipe(learning_rate=5e-5, max_length=512, dropout=0.1, slices=6),
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

# Why an encoder hasn't 2.5 million parameters as the others have, for its card.
OTHER_SIZES = {
    "minilm": "its encoder has 10.8 million parameters, not the others' 2.5: its sizes are those "
    "of the pretrained one that it starts from",
    "mpnet": "its encoder has 85.4 million parameters, as the pretrained one that it starts from",
}

"""More pretraining on the texts themselves, without their labels: words hidden and guessed.

Masked language modelling (Devlin et al. 2018, arXiv 1810.04805, section 3.1) on the data that a
model is about to be trained on, which Gururangan et al. 2020 (arXiv 2004.10964, section 4) call
task-adaptive pretraining. Of each text's words 15% are to be guessed: most of them stand as [MASK],
some as another word, some as themselves. The word table stays as it is and answers as well: a
guess is scored by its product with each row.

What comes out is an encoder, kept below the work folder under a name made of all that made it, so
that several trainings start from one.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

from models.base import Classifier
from models.predict import collate
from models.tokenizer import Tokenizer
from models.windows import segment
from training.data import DataError, Row
from training.examples import Example
from training.fit import fit
from training.fitting import by_length
from training.plan import TrainingSet, plan
from training.planned import Planned, loader
from training.recipes import Recipe

GUESSED = 0.15  # of a text's words
MASKED, SWAPPED = 0.8, 0.1  # of those; the others stay
ENCODER_FILE = "encoder.safetensors"

Batch = tuple[Tensor, Tensor, Tensor, Tensor]  # input_ids, attention_mask, places, words


class MaskedWords(Planned):
    """An encoder that guesses words, and the layer it guesses with.

    Args:
        classifier: whose encoder is trained, in place; its head takes no part.
        windows: token ids to train on.
        held_back: token ids that are guessed without training on them.
        tokenizer: which knows [MASK] and how many words there are.
        recipe: of this stage.

    Raises:
        DataError: the encoder is not as wide as the word table, which is to score its guesses.
    """

    def __init__(
        self,
        classifier: Classifier,
        windows: Sequence[list[int]],
        held_back: Sequence[list[int]],
        tokenizer: Tokenizer,
        recipe: Recipe,
    ) -> None:
        width = classifier.embedding.width
        if classifier.encoder.output_size != width:
            raise DataError(f"--masked-passes: the encoder must be {width} wide, as a word is")
        self.examples = [Example(window, 0) for window in windows]
        source = TrainingSet(self.examples, None)
        super().__init__(plan([source], recipe), [len(window) for window in windows], recipe)
        self.held_back = [Example(window, 0) for window in held_back]
        self.tokenizer = tokenizer
        self.embedding = classifier.embedding
        self.encoder = classifier.encoder
        self.guess = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.LayerNorm(width))
        self.bias = nn.Parameter(torch.zeros(self.embedding.vocab_size))

    def scores(self, batch: Batch) -> Tensor:
        """Logits of every word of the vocabulary at each place to be guessed: (G, V)."""
        input_ids, attention_mask, places, _ = batch
        hidden_states = self.encoder(self.embedding(input_ids), attention_mask)  # (B, T, D)
        guesses = self.guess(hidden_states.flatten(0, 1)[places])  # (G, D)
        return F.linear(guesses, self.embedding.weight, self.bias)

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        loss = F.cross_entropy(self.scores(batch).float(), batch[3])
        self.log("train_loss", loss, on_step=True, on_epoch=False, prog_bar=True)
        return loss

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        scores, words = self.scores(batch).float(), batch[3]
        options: dict[str, Any] = {"batch_size": len(words), "prog_bar": True}
        self.log("loss", F.cross_entropy(scores, words), **options)
        self.log("accuracy", (scores.argmax(1) == words).float().mean(), **options)

    def assemble(self, positions: list[int]) -> Batch:
        return self._hide(self.examples, positions)

    def val_dataloader(self) -> list[DataLoader[Batch]]:
        batches = by_length(self.held_back, self.recipe)
        return [loader(batches, partial(self._hide, self.held_back))]

    def _hide(self, examples: Sequence[Example], positions: list[int]) -> Batch:
        """A batch with words hidden; the same examples together hide the same words."""
        input_ids, attention_mask = collate([examples[position].ids for position in positions])
        seed = random.Random(f"{self.recipe.seed} {positions}").getrandbits(62)  # noqa: S311
        generator = torch.Generator().manual_seed(seed)
        chance = torch.rand(input_ids.shape, generator=generator)
        words = attention_mask.clone()  # all but the special tokens at either end
        words[:, 0] = False
        words[torch.arange(len(positions)), attention_mask.sum(dim=1) - 1] = False
        chance[~words] = 1.0
        # At the least one word a batch, or there would be nothing to learn from it.
        chosen = chance <= max(GUESSED, float(chance.min()))
        hidden = input_ids.clone()
        hidden[chance < GUESSED * MASKED] = self.tokenizer.mask_id
        others = torch.randint(self.embedding.vocab_size, input_ids.shape, generator=generator)
        swapped = (chance >= GUESSED * MASKED) & (chance < GUESSED * (MASKED + SWAPPED))
        hidden[swapped] = others[swapped]
        return hidden, attention_mask, chosen.flatten().nonzero().squeeze(1), input_ids[chosen]


def adapt(
    classifier: Classifier,
    rows: Sequence[Row],
    held_back: Sequence[Row],
    tokenizer: Tokenizer,
    recipe: Recipe,
    work: Path,
    precision: str,
) -> dict[str, Any]:
    """Goes on pretraining a classifier's encoder, in place, or takes what an earlier run made.

    Args:
        classifier: with a pretrained encoder.
        rows: texts to train on; their labels aren't looked at.
        held_back: texts that choose the slice.
        tokenizer: the classifier's.
        recipe: of this stage: ``recipes.masked``.
        work: the folder to keep the encoder below.
        precision: as Lightning names it.

    Returns:
        For the card: the recipe, the words guessed right of rows held back, tokens a second.

    Raises:
        DataError: the encoder isn't as wide as the word table.
    """
    windows = _windows(rows, tokenizer, recipe.max_length)
    unseen = _windows(held_back, tokenizer, recipe.max_length)
    module = MaskedWords(classifier, windows, unseen, tokenizer, recipe)
    folder = work / "masked" / _fingerprint(classifier, windows, recipe)
    made = folder / "made.json"
    if not made.exists():
        report = fit(module, folder, precision)
        save_file(classifier.encoder.state_dict(), folder / ENCODER_FILE)
        facts = {
            "recipe": asdict(recipe),
            "steps": report.steps,
            "words_guessed": round(report.held_back_accuracy, 4),
            "tokens_per_second": round(report.tokens_per_second),
        }
        made.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    classifier.encoder.load_state_dict(load_file(folder / ENCODER_FILE))
    known: dict[str, Any] = json.loads(made.read_text(encoding="utf-8"))
    return known


def _windows(rows: Sequence[Row], tokenizer: Tokenizer, length: int) -> list[list[int]]:
    return [
        window
        for tokens in tokenizer.encode([row.text for row in rows])
        for window in segment(tokens.ids, length)
    ]


def _fingerprint(classifier: Classifier, windows: Sequence[list[int]], recipe: Recipe) -> str:
    digest = hashlib.sha256(json.dumps(asdict(recipe), sort_keys=True).encode())
    for tensor in classifier.encoder.state_dict().values():
        digest.update(tensor.cpu().numpy().tobytes())
    for window in windows:
        digest.update(torch.tensor(window).numpy().tobytes() + b"|")
    return digest.hexdigest()[:32]

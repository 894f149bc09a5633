"""Hidden words: how many, where, and that guessing them is learnt, once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from models import checkpoint, registry
from models.base import Classifier
from models.folder import WORDPIECE
from models.minilm import MiniLMConfig, MiniLMEncoder
from models.tokenizer import Tokenizer
from tests.small import write_model
from training import masked
from training.data import DataError, Row
from training.masked import GUESSED, MaskedWords, adapt
from training.recipes import Recipe

RECIPE = Recipe(learning_rate=0.01, passes=30, batch_rows=16, slices=2, max_length=16)
# Whatever is hidden of these is known from the words beside it.
ROWS = [Row(" ".join([word] * 10), "0") for word in ("one", "film", "great", "slow")]


@dataclass(frozen=True, kw_only=True, slots=True)
class SmallMiniLMConfig(MiniLMConfig):
    input_size: int = 8
    max_length: int | None = 16
    num_layers: int = 1
    num_heads: int = 2
    d_ff: int = 16


@pytest.fixture
def tokenizer(weights: Path) -> Tokenizer:
    return Tokenizer.load(weights / WORDPIECE)


@pytest.fixture
def classifier(weights: Path) -> Classifier:
    torch.manual_seed(1)
    config = SmallMiniLMConfig()
    embedding = checkpoint.load_embedding(weights / WORDPIECE)
    return Classifier(config, MiniLMEncoder(config), embedding)


def hidden(
    classifier: Classifier, tokenizer: Tokenizer, windows: Sequence[list[int]]
) -> tuple[torch.Tensor, ...]:
    module = MaskedWords(classifier, windows, windows, tokenizer, RECIPE)
    return module.assemble(list(range(len(windows))))


def test_the_documented_share_of_words_is_hidden(
    classifier: Classifier, tokenizer: Tokenizer
) -> None:
    words = torch.randint(5, 36, (500, 14)).tolist()
    windows = [[2, *row, 3] for row in words]
    input_ids, _, places, answers = hidden(classifier, tokenizer, windows)
    true = torch.tensor(windows)
    assert torch.equal(true.flatten()[places], answers)
    count = 500 * 14
    assert len(places) / count == pytest.approx(GUESSED, abs=0.02)
    is_mask = input_ids.flatten()[places] == tokenizer.mask_id
    changed = (input_ids != true).flatten()
    assert is_mask.float().mean().item() == pytest.approx(0.8, abs=0.05)
    assert (changed[places] & ~is_mask).float().mean().item() == pytest.approx(0.1, abs=0.04)
    assert changed.sum() == changed[places].sum()


def test_special_tokens_and_padding_are_never_hidden(
    classifier: Classifier, tokenizer: Tokenizer
) -> None:
    windows = [[2, 6, 3], [2, 7, 8, 9, 10, 3], *([[2, 5, 6, 3]] * 50)]
    input_ids, attention_mask, places, _ = hidden(classifier, tokenizer, windows)
    rows, columns = places // input_ids.shape[1], places % input_ids.shape[1]
    lengths = attention_mask.sum(dim=1)
    assert bool((columns > 0).all())
    assert bool((columns < lengths[rows] - 1).all())


def test_every_batch_has_a_word_to_guess(classifier: Classifier, tokenizer: Tokenizer) -> None:
    for word in range(5, 36):
        assert len(hidden(classifier, tokenizer, [[2, word, 3]])[2]) == 1


def test_the_same_batch_hides_the_same_words(classifier: Classifier, tokenizer: Tokenizer) -> None:
    windows = torch.randint(5, 36, (8, 14)).tolist()
    first, second = (hidden(classifier, tokenizer, windows) for _ in range(2))
    assert all(torch.equal(*pair) for pair in zip(first, second, strict=True))


def test_guessing_is_learnt_and_the_encoder_kept(
    classifier: Classifier,
    tokenizer: Tokenizer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = {name: value.clone() for name, value in classifier.encoder.state_dict().items()}

    def run(rows: Sequence[Row] = ROWS * 20) -> dict[str, Any]:
        classifier.encoder.load_state_dict(before)
        return adapt(classifier, rows, ROWS, tokenizer, RECIPE, tmp_path, "32-true")

    facts = run()
    assert facts["words_guessed"] > 0.5  # by chance it would be 0.03
    assert facts["steps"] == 30 * 5
    learnt = {name: value.clone() for name, value in classifier.encoder.state_dict().items()}
    assert not torch.equal(learnt["positions.weight"], before["positions.weight"])

    monkeypatch.setattr(masked, "fit", lambda *_: pytest.fail("trained again"))
    assert run() == facts
    for name, value in classifier.encoder.state_dict().items():
        assert torch.equal(value, learnt[name])
    with pytest.raises(pytest.fail.Exception, match="trained again"):
        run(ROWS * 21)  # other texts are another stage


def test_an_encoder_that_isnt_as_wide_as_a_word_is_refused(
    weights: Path, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    config = registry.ARCHITECTURES["bilstm"].config(input_size=8)
    embedding = checkpoint.load_embedding(weights / WORDPIECE)
    bilstm = registry.build("bilstm", config, embedding)
    with pytest.raises(DataError, match="--masked-passes: the encoder must be 8 wide"):
        adapt(bilstm, ROWS, ROWS, tokenizer, RECIPE, tmp_path, "32-true")
    assert write_model(weights).labels  # the folder stays usable

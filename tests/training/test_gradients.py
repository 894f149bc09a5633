from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import Tensor

from models.base import Classifier, ClassifierConfig, Encoder, Schedule
from models.embedding import FrozenEmbedding
from models.errors import InputError
from models.folder import WORDPIECE
from models.predict import Predictor
from models.registry import ARCHITECTURES, build
from models.tokenizer import Tokenizer
from tests.small import VOCABULARY
from training.data import Row
from training.gradients import (
    SENTENCE,
    SUBJECT,
    VERB,
    gradient_norms,
    measure_agreement,
    measure_influence,
    run_together,
)

ROWS = [Row("great film", "1"), Row("the dull story", "0")]


@dataclass(frozen=True, kw_only=True, slots=True)
class ToyConfig(ClassifierConfig):
    input_size: int = 3


class Halving(Encoder):
    """h_t = h_{t-1} / 2 + x_t: what was read d tokens ago counts 1 / 2^d."""

    def __init__(self) -> None:
        super().__init__()
        self.output_size = 3

    def forward(
        self, embeddings: Tensor, attention_mask: Tensor, schedule: Schedule | None = None
    ) -> Tensor:
        states = [embeddings[:, 0]]
        for step in range(1, embeddings.shape[1]):
            states.append(states[-1] / 2 + embeddings[:, step])
        return torch.stack(states, dim=1)

    def flops(self, length: int) -> int:
        return 0

    def sequential_depth(self, length: int, schedule: Schedule | None = None) -> int:
        return length

    def reach(self) -> tuple[int | None, ...]:
        return (0,)

    def longest_path(self, length: int) -> int:
        return 10 * length


class Alone(Halving):
    """h_t = W x_t: no word reaches another's state."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = weight
        self.output_size = len(weight)

    def forward(
        self, embeddings: Tensor, attention_mask: Tensor, schedule: Schedule | None = None
    ) -> Tensor:
        return embeddings @ self.weight.T


def toy(weights: Path, max_length: int | None = None) -> Predictor:
    table = FrozenEmbedding.random(len(VOCABULARY), 3)
    classifier = Classifier(ToyConfig(max_length=max_length), Halving(), table)
    return Predictor(Tokenizer.load(weights / WORDPIECE), classifier)


def test_gradient_halves_with_each_token_and_is_none_of_the_future() -> None:
    embeddings = torch.randn(2, 5, 3)
    norms = gradient_norms(Halving(), embeddings, torch.ones(2, 5, dtype=torch.bool), position=3)
    expected = torch.tensor([0.125, 0.25, 0.5, 1.0, 0.0], dtype=torch.float64)
    torch.testing.assert_close(norms, expected.expand(2, 5))


def test_gradient_too_small_to_square_in_float32_is_still_seen() -> None:
    embeddings = torch.randn(1, 101, 3)
    mask = torch.ones(1, 101, dtype=torch.bool)
    norms = gradient_norms(Halving(), embeddings, mask, position=100)
    assert norms[0, 0].item() == pytest.approx(0.5**100)


def test_norm_is_the_jacobians_with_as_many_directions_as_features() -> None:
    weight = torch.tensor([[3.0, 0.0], [0.0, 4.0], [0.0, 12.0]])  # of Frobenius norm 13
    embeddings, mask = torch.randn(1, 4, 2), torch.ones(1, 4, dtype=torch.bool)
    norms = gradient_norms(Alone(weight), embeddings, mask, position=1, directions=3)
    torch.testing.assert_close(norms[0, 1].item(), 13 / 3**0.5)
    assert norms[0, [0, 2, 3]].tolist() == [0.0, 0.0, 0.0]


def test_fewer_directions_estimate_the_norm() -> None:
    generator = torch.Generator().manual_seed(7)
    weight = torch.randn(200, 100, generator=generator)
    embeddings, mask = torch.randn(1, 1, 100), torch.ones(1, 1, dtype=torch.bool)
    norms = gradient_norms(Alone(weight), embeddings, mask, position=0)
    assert norms.item() == pytest.approx(float(weight.norm()) / 200**0.5, rel=0.1)


@pytest.mark.parametrize("architecture", sorted(ARCHITECTURES))
def test_every_architecture_has_gradients(architecture: str) -> None:
    torch.manual_seed(0)
    config = ARCHITECTURES[architecture].config()
    table = FrozenEmbedding.random(20, config.input_size)
    classifier = build(architecture, config, table).eval()
    embeddings, mask = table(torch.arange(12).view(2, 6)), torch.ones(2, 6, dtype=torch.bool)
    norms = gradient_norms(classifier.encoder, embeddings, mask, position=5)
    assert norms.isfinite().all()
    assert (norms.sum(dim=1) > 0).all()
    assert all(parameter.grad is None for parameter in classifier.parameters())


def test_rows_are_run_together_into_texts_of_one_length(weights: Path) -> None:
    tokenizer = Tokenizer.load(weights / WORDPIECE)
    start, end = tokenizer.start_id, tokenizer.end_id
    words = [VOCABULARY[word] for word in ("great", "film", "the", "dull", "story")]
    assert run_together(tokenizer, ROWS, 4) == [[start, *words[:2], end], [start, *words[2:4], end]]
    assert run_together(tokenizer, ROWS, 100) == [[start, *words, end]]


def test_influence_is_relative_to_the_last_token(weights: Path) -> None:
    influence = measure_influence(toy(weights), ROWS, length=4)
    assert influence.texts == 2
    assert influence.norms == pytest.approx((1, 0.5, 0.25, 0.125))
    assert influence.half_within == 0
    assert influence.to_dict()["norms"] == [1.0, 0.5, 0.25, 0.125]


def test_influence_stays_inside_the_window(weights: Path) -> None:
    assert len(measure_influence(toy(weights, max_length=3), ROWS).norms) == 3


def test_agreement_shares_what_comes_before_the_verb(weights: Path) -> None:
    agreement = measure_agreement(toy(weights))
    assert (SENTENCE[SUBJECT], SENTENCE[VERB], agreement.words) == ("boy", "is", SENTENCE[:VERB])
    assert sum(agreement.shares) == pytest.approx(1)
    ratios = [later / earlier for earlier, later in itertools.pairwise(agreement.shares)]
    # Words the small vocabulary doesn't know are one token too, so each is one step further.
    assert ratios == pytest.approx([2] * (VERB - 1))
    assert agreement.subject_share == agreement.shares[SUBJECT]
    assert agreement.steps == 10 * (VERB - SUBJECT + 1)


def test_agreement_needs_the_whole_sentence(weights: Path) -> None:
    with pytest.raises(InputError, match="13 tokens; the encoder's window is 12"):
        measure_agreement(toy(weights, max_length=12))

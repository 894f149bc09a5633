from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from models.base import Classifier, ClassifierConfig, Encoder, Schedule
from models.checkpoint import load_predictor
from models.embedding import FrozenEmbedding
from models.folder import WORDPIECE
from models.pooling import Pooling
from models.predict import Predictor
from models.tokenizer import Tokenizer
from tests.small import VOCABULARY, write_model
from training.data import DataError, DataSet, Row
from training.evaluate import evaluate
from training.probe import draw, horizon, measure_forgetting, repeat

SPAN = 4  # tokens that the toy remembers
ROWS = [Row("great film", "positive"), Row("dull film", "0")]
MASK = [VOCABULARY["[MASK]"]]


@dataclass(frozen=True, kw_only=True, slots=True)
class ToyConfig(ClassifierConfig):
    input_size: int = 1
    pooling: Pooling = "last"


class Span(Encoder):
    """h_t = the sum of the last SPAN tokens, and nothing of what came before."""

    def __init__(self) -> None:
        super().__init__()
        self.output_size = 1

    def forward(
        self, embeddings: Tensor, attention_mask: Tensor, schedule: Schedule | None = None
    ) -> Tensor:
        padded = F.pad(embeddings, (0, 0, SPAN - 1, 0))
        return padded.unfold(1, SPAN, 1).sum(dim=-1)

    def flops(self, length: int) -> int:
        return 0

    def sequential_depth(self, length: int, schedule: Schedule | None = None) -> int:
        return 1

    def reach(self) -> tuple[int | None, ...]:
        return (SPAN - 1,)

    def longest_path(self, length: int) -> int:
        return 1


def toy(weights: Path, max_length: int | None = None) -> Predictor:
    """Says positive of "great", negative of "dull", and of neither alike what it says of all."""
    table = torch.zeros(len(VOCABULARY), 1)
    table[VOCABULARY["great"]], table[VOCABULARY["dull"]] = 1.0, -1.0
    config = ToyConfig(max_length=max_length)
    classifier = Classifier(config, Span(), FrozenEmbedding(table)).eval()
    with torch.no_grad():
        classifier.head.weight.copy_(torch.tensor([[-1.0], [1.0]]))
        classifier.head.bias.zero_()
    return Predictor(Tokenizer.load(weights / WORDPIECE), classifier)


def test_forgetting_sets_in_where_the_text_leaves_the_span(weights: Path) -> None:
    forgetting = measure_forgetting(toy(weights), ROWS, MASK, counts=(0, 1, 2, 4))
    # great film [MASK] [SEP] are four; with two masks the verdict is that on nothing.
    assert forgetting.appended == (1.0, 1.0, 0.5, 0.5)
    assert forgetting.prepended == (1.0, 1.0, 1.0, 1.0)
    assert (forgetting.rows, forgetting.chance) == (2, 0.5)
    assert forgetting.horizon == 1
    assert [verdict.score for verdict in forgetting.filler_alone] == [0.5, 0.5, 0.5]


def test_forgetting_reads_a_long_text_as_the_service_cuts_it(weights: Path) -> None:
    forgetting = measure_forgetting(toy(weights, max_length=6), ROWS, MASK, counts=(0, 100))
    assert forgetting.appended == (1.0, 0.5)  # [CLS] great film | [MASK] [MASK] [SEP]
    assert forgetting.prepended == (1.0, 1.0)  # [CLS] [MASK] [MASK] | great film [SEP]


def test_forgetting_reads_no_window_twice(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[tuple[int, ...]] = []
    logits = Predictor.logits

    def counted(self: Predictor, windows: Sequence[Sequence[int]]) -> list[list[float]]:
        read.extend(map(tuple, windows))
        return logits(self, windows)

    monkeypatch.setattr(Predictor, "logits", counted)
    measure_forgetting(toy(weights, max_length=6), ROWS, MASK, counts=(0, 4, 100, 1000))
    assert len(read) == len(set(read)) == 2 + 2 + 2 + 1  # bare, appended, prepended; masks alone


def test_forgetting_equals_typing_the_filler(weights: Path) -> None:
    write_model(weights, seed=3)
    _, predictor = load_predictor(weights, "lstm")
    rows = [Row(f"{word} {other}", "1") for word in ("great", "dull", "a") for other in ("!", ".")]
    filler = predictor.tokenizer.encode(["the film is"])[0].ids[1:-1]
    forgetting = measure_forgetting(predictor, rows, filler, counts=(0, 4))
    for place, accuracies in (
        ("{}", forgetting.appended[:1]),
        ("{} the film is the", forgetting.appended[1:]),
        ("is the film is {}", forgetting.prepended[1:]),
    ):
        typed = DataSet("a/b", [Row(place.format(row.text), row.label) for row in rows])
        assert (evaluate(predictor, typed).accuracy,) == pytest.approx(accuracies)


def test_forgetting_goes_into_a_card_by_k(weights: Path) -> None:
    entry = measure_forgetting(toy(weights), ROWS * 3, MASK, counts=(0, 2)).to_dict()
    assert entry == {
        "rows": 6,
        "chance": 0.5,
        "appended": {"0": 1.0, "2": 0.5},
        "prepended": {"0": 1.0, "2": 1.0},
        "filler_alone": {"2": {"label": "negative", "score": 0.5}},
    }


def test_label_the_model_doesnt_know_is_refused(weights: Path) -> None:
    with pytest.raises(DataError, match="'maybe'"):
        measure_forgetting(toy(weights), [Row("great", "maybe")], MASK)


def test_filler_is_cut_where_it_doesnt_touch_the_text() -> None:
    assert repeat([1, 2, 3], 5) == [1, 2, 3, 1, 2]
    assert repeat([1, 2, 3], 5, whole_at_end=True) == [2, 3, 1, 2, 3]
    assert repeat([1, 2, 3], 0) == repeat([1, 2, 3], 0, whole_at_end=True) == []


@pytest.mark.parametrize(
    ("accuracies", "expected"),
    [
        ((0.9, 0.9, 0.9), None),
        ((0.9, 0.9, 0.71), None),  # a little more than half is left
        ((0.9, 0.9, 0.7), 15),  # half is gone at the last k itself
        ((0.9, 0.5, 0.5), 1),  # half way from log2(1 + 0) to log2(1 + 3)
        ((0.9, 0.8, 0.6), 7),  # half way from log2(1 + 3) to log2(1 + 15)
        ((0.9, 0.7, 0.9), 3),  # the first crossing, though it recovers
        ((0.5, 0.9, 0.9), 0),
        ((0.4, 0.3, 0.3), 0),
    ],
)
def test_horizon(accuracies: tuple[float, ...], expected: int | None) -> None:
    assert horizon((0, 3, 15), accuracies, chance=0.5) == expected


def test_rows_are_drawn_alike_from_any_order() -> None:
    rows = [Row(str(number), "0") for number in range(20)]
    assert draw(rows, 5) == draw(rows[::-1], 5) == draw(rows, 8)[:5]
    assert draw(rows, 5) != rows[:5]
    assert len(draw(rows, 100)) == 20
    with pytest.raises(ValueError, match="at least 1"):
        draw(rows, 0)

"""Texts to verdicts: the order, the grouping and the windows change nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.checkpoint import load_predictor
from models.errors import InputError, TextError
from models.predict import Predictor, batches_by_length, collate, pad
from models.verdict import judge
from tests.small import write_model

TEXTS = ["great film", "one two three four five six seven eight", "dull", "a slow , awful story !"]


@pytest.fixture(params=["lstm", "transformer"])
def predictor(request: pytest.FixtureRequest, weights: Path) -> Predictor:
    write_model(weights, "one", architecture=request.param)
    return load_predictor(weights, "one")[1]


def test_predictions_equal_those_one_by_one(predictor: Predictor) -> None:
    together = predictor.predict(TEXTS)
    for text, prediction in zip(TEXTS, together, strict=True):
        (alone,) = predictor.predict([text])
        assert alone.prepared == prediction.prepared
        assert alone.verdict.score == pytest.approx(prediction.verdict.score, abs=1e-6)


def test_predictions_keep_the_order_of_the_texts(predictor: Predictor) -> None:
    forward, backward = predictor.predict(TEXTS), predictor.predict(TEXTS[::-1])
    assert [p.prepared for p in forward] == [p.prepared for p in backward[::-1]]
    assert [p.prepared.tokens for p in forward] == [4, 10, 3, 8]


def test_small_batches_give_the_same_logits(predictor: Predictor) -> None:
    windows = [[2, 6, 3], [2, 7, 8, 9, 10, 3], [2, 11, 3], [2, 12, 13, 3]]
    small = Predictor(predictor.tokenizer, predictor.classifier, max_padded_tokens=1)
    assert torch.allclose(
        torch.tensor(small.logits(windows)), torch.tensor(predictor.logits(windows)), atol=1e-6
    )


def test_segments_are_judged_together(weights: Path) -> None:
    write_model(weights, architecture="transformer")
    predictor = load_predictor(weights, "lstm")[1]
    (prediction,) = predictor.predict([TEXTS[1]], "segment")
    windows = prediction.prepared.windows
    assert [len(window) for window in windows] == [6, 6]
    expected = judge(predictor.logits(windows), [6, 6], ("negative", "positive"), 1.5)
    assert prediction.verdict.score == pytest.approx(expected.score)


def test_no_texts_are_no_predictions(predictor: Predictor) -> None:
    assert predictor.predict([]) == []


def test_bad_text_is_named_by_its_index(predictor: Predictor) -> None:
    with pytest.raises(TextError, match="text 2"):
        predictor.predict(["great", "dull", " "])


def test_batch_is_padded_to_its_longest() -> None:
    input_ids, mask = collate([[5, 6, 7], [8]], padding_id=1)
    assert input_ids.tolist() == [[5, 6, 7], [8, 1, 1]]
    assert mask.tolist() == [[True, True, True], [True, False, False]]
    assert (input_ids.dtype, mask.dtype) == (torch.int64, torch.bool)


def test_a_batch_for_another_device_is_checked_before_it_is_copied(predictor: Predictor) -> None:
    elsewhere = predictor.classifier.to("meta")
    input_ids, attention_mask = pad(elsewhere, [[2, 6, 3], [2, 3]])
    assert (input_ids.device.type, attention_mask.device.type) == ("meta", "meta")
    assert input_ids.shape == attention_mask.shape == (2, 3)
    with pytest.raises(InputError, match="ids run from 2 to 1000000"):
        pad(elsewhere, [[2, 1000000, 3]])


def test_nobody_waits_for_another_device_to_look_at_a_batch(predictor: Predictor) -> None:
    classifier = predictor.classifier.to("meta")
    # A meta tensor has no numbers: to look at one raises.
    logits = classifier(*pad(classifier, [[2, 6, 3], [2, 3]]))
    assert logits.shape == (2, 2)


@given(st.lists(st.integers(1, 60)), st.integers(1, 200))
def test_batches_hold_every_position_once_and_keep_their_bound(
    lengths: list[int], bound: int
) -> None:
    batches = list(batches_by_length(lengths, bound))
    assert sorted(position for batch in batches for position in batch) == list(range(len(lengths)))
    for batch in batches:
        longest = max(lengths[position] for position in batch)
        assert len(batch) == 1 or len(batch) * longest <= bound

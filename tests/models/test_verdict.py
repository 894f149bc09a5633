from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.verdict import judge, softmax

LABELS = ("bad", "fair", "good")


@given(st.lists(st.floats(-1e4, 1e4), min_size=2, max_size=9))
def test_softmax_sums_to_one(logits: list[float]) -> None:
    probabilities = softmax(logits)
    assert math.fsum(probabilities) == pytest.approx(1)
    assert probabilities[logits.index(max(logits))] == max(probabilities)


def test_softmax_is_right_on_a_hand_example() -> None:
    assert softmax([0.0, math.log(3)]) == pytest.approx([0.25, 0.75])


def test_verdict_names_the_likeliest_label() -> None:
    verdict = judge([[0.0, math.log(2), 0.0]], [5], LABELS, 1.0)
    assert verdict.label == "fair"
    assert verdict.score == pytest.approx(0.5)
    assert list(verdict.scores) == list(LABELS)
    assert list(verdict.scores.values()) == pytest.approx([0.25, 0.5, 0.25])


def test_windows_count_by_their_tokens() -> None:
    verdict = judge([[0.0, 8.0], [4.0, 0.0]], [1, 3], LABELS[:2], 1.0)
    assert list(verdict.scores.values()) == pytest.approx(softmax([3.0, 2.0]))


def test_temperature_divides_the_logits() -> None:
    hot = judge([[0.0, 2 * math.log(3)]], [4], LABELS[:2], 2.0)
    assert hot.score == pytest.approx(0.75)
    assert hot.label == judge([[0.0, 2 * math.log(3)]], [4], LABELS[:2], 1.0).label


def test_rows_and_lengths_must_pair_up() -> None:
    with pytest.raises(ValueError, match="zip"):
        judge([[0.0, 1.0]], [4, 4], LABELS[:2], 1.0)

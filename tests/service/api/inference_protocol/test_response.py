"""Classes as the classification extension names them."""

from __future__ import annotations

import pytest

from service.api.inference_protocol.binary import as_fp32
from service.api.inference_protocol.response import classify

LABELS = ["negative", "neutral", "positive"]


@pytest.mark.parametrize(
    ("most", "classes"),
    [
        (1, ["0.5:2:positive"]),
        (2, ["0.5:2:positive", "0.375:0:negative"]),
        (3, ["0.5:2:positive", "0.375:0:negative", "0.125:1:neutral"]),
    ],
)
def test_likeliest_are_named_first(most: int, classes: list[str]) -> None:
    assert classify([0.375, 0.125, 0.5], LABELS, most) == classes


def test_first_of_equal_ones_counts() -> None:
    assert classify([0.25, 0.5, 0.25], LABELS, 2) == ["0.5:1:neutral", "0.25:0:negative"]


def test_value_is_told_to_the_last_digit_that_fp32_has() -> None:
    (score,) = as_fp32([0.935091063229668])
    (told,) = classify([score], LABELS, 1)
    value, index, label = told.split(":")
    assert (value, index, label) == ("0.935091078", "0", "negative")
    assert as_fp32([float(value)]) == [score]

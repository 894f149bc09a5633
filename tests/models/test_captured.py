"""Which batches ride in which graph. The graphs themselves are tested in tests/gpu."""

from __future__ import annotations

import pytest

from models.captured import LARGEST, buckets, capture_where_it_wins, least, smallest
from models.embedding import FrozenEmbedding
from models.lstm import LSTMConfig
from models.registry import build

SHAPES = [(1, 16), (1, 32), (4, 16), (4, 32)]


@pytest.mark.parametrize(
    ("rows", "length", "expected"),
    [(1, 1, (1, 16)), (1, 17, (1, 32)), (2, 16, (4, 16)), (4, 32, (4, 32)), (3, 20, (4, 32))],
)
def test_a_batch_rides_in_the_smallest_shape_that_holds_it(
    rows: int, length: int, expected: tuple[int, int]
) -> None:
    assert smallest(SHAPES, rows, length) == expected


def test_a_batch_that_is_too_large_rides_in_none() -> None:
    assert smallest(SHAPES, 5, 1) is None
    assert smallest(SHAPES, 1, 33) is None
    assert smallest([], 1, 1) is None


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((1, 16), (1, 1)), ((1, 32), (1, 17)), ((4, 16), (2, 1)), ((4, 32), (2, 17))],
)
def test_a_shape_is_judged_by_the_smallest_batch_that_rides_in_it(
    shape: tuple[int, int], expected: tuple[int, int]
) -> None:
    assert least(shape, SHAPES) == expected
    assert smallest(SHAPES, *expected) == shape


def test_smallest_batch_of_every_bucket_rides_in_it() -> None:
    tried = buckets(None)
    assert all(smallest(tried, *least(shape, tried)) == shape for shape in tried)


def test_buckets_fit_the_window_and_leave_large_batches_out() -> None:
    assert max(length for _, length in buckets(128)) == 128
    assert buckets(8) == []
    assert all(rows * length <= LARGEST for rows, length in buckets(None))


def test_nothing_is_recorded_on_a_cpu() -> None:
    classifier = build("lstm", LSTMConfig(input_size=8), FrozenEmbedding.random(10, 8)).eval()
    assert capture_where_it_wins(classifier) is None

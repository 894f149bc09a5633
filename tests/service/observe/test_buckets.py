"""The ranges that stand in labels."""

from __future__ import annotations

import pytest

from service.observe.buckets import (
    BATCH_EDGES,
    LENGTH_EDGES,
    RATIO_BUCKETS,
    bucket,
    bucket_names,
)


@pytest.mark.parametrize(
    ("value", "edges", "name"),
    [
        (1, LENGTH_EDGES, "1-16"),
        (16, LENGTH_EDGES, "1-16"),
        (17, LENGTH_EDGES, "17-32"),
        (2048, LENGTH_EDGES, "1025-2048"),
        (2049, LENGTH_EDGES, "2049+"),
        (1, BATCH_EDGES, "1"),
        (2, BATCH_EDGES, "2-4"),
        (16, BATCH_EDGES, "5-16"),
        (17, BATCH_EDGES, "17+"),
    ],
)
def test_bucket_is_named_by_its_range(value: int, edges: tuple[int, ...], name: str) -> None:
    assert bucket(value, edges) == name


def test_bucket_names_are_all_there_are() -> None:
    assert bucket_names(BATCH_EDGES) == ["1", "2-4", "5-16", "17+"]
    assert {bucket(n, LENGTH_EDGES) for n in range(1, 3000)} == set(bucket_names(LENGTH_EDGES))


def test_ratio_buckets_are_even_about_one() -> None:
    assert 1.0 in RATIO_BUCKETS
    for edge, other in zip(RATIO_BUCKETS, reversed(RATIO_BUCKETS), strict=True):
        assert edge * other == pytest.approx(1, rel=1e-3)

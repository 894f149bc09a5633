"""The texts that are posted: as many as are said, of both kinds, with the data and without."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.real import traffic


@pytest.mark.parametrize("kept", [True, False], ids=["data as it is", "no data"])
def test_reviews_are_short_and_long(
    kept: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if not kept:
        monkeypatch.setattr(traffic, "DATA", tmp_path)
    texts = traffic.reviews(40, 20)
    words = sorted(len(text.split()) for text in texts)
    assert len(texts) == 60
    assert words[0] < 16
    assert words[-1] > 100
    assert texts == traffic.reviews(40, 20)
    assert [len(text.split()) for text in texts] != words  # mixed

"""The offline limit: the verdicts are the service's, in batches of the best bound."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.offline import BOUNDS, FEWEST, Offline
from models.checkpoint import load_predictor
from tests.small import write_model

TEXTS = ["the film is great", "dull", "a slow and awful story ! " * 4, "fine acting ."]


@pytest.fixture
def offline(weights: Path) -> Offline:
    write_model(weights, "transformer", architecture="transformer")
    return Offline(weights, "transformer", None, "cpu", "float32", threads=1)


def test_verdicts_are_those_of_the_texts_in_their_order(offline: Offline, weights: Path) -> None:
    _, predictor = load_predictor(weights, "transformer")
    expected = [prediction.verdict.scores for prediction in predictor.predict(TEXTS)]
    for padded_tokens in (8, 16, 4096):
        found = [verdict.scores for verdict in offline.classify(TEXTS, padded_tokens)]
        assert found == [pytest.approx(scores, abs=1e-4) for scores in expected]


def test_best_bound_is_taken(offline: Offline, monkeypatch: pytest.MonkeyPatch) -> None:
    def seconds(texts: list[str], padded_tokens: int) -> float:
        return len(texts) * (0.01 if padded_tokens == BOUNDS["cpu"][1] else 0.02)

    monkeypatch.setattr(offline, "_seconds", seconds)
    offline.choose(TEXTS * 100, seconds=2.0)
    assert offline.padded_tokens == BOUNDS["cpu"][1]
    assert len(offline.texts) == 100  # at 50 texts/s, as the first bound does them
    assert offline.texts_per_second() == pytest.approx(100)
    offline.choose(TEXTS * 100, seconds=0.01)
    assert len(offline.texts) == FEWEST

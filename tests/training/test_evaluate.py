from __future__ import annotations

from pathlib import Path
from unittest.mock import Mock

import pytest
import torch

from models.checkpoint import load_predictor
from models.predict import Prediction
from models.verdict import Verdict
from models.windows import PreparedText
from tests.small import write_model
from training.data import DataError, DataSet, Row
from training.evaluate import Evaluation, evaluate, in_bfloat16

LABELS = ("bad", "fair", "good")


def predictor(*answers: tuple[str, float]) -> Mock:
    """Answers as told, whatever the texts."""
    stub = Mock()
    stub.classifier.config.labels = LABELS
    stub.classifier.encoder.schedules = ()
    prepared = PreparedText(([2, 3],), 2, 0, truncated=False)
    stub.predict.return_value = [
        Prediction(Verdict(label, score, {}), prepared) for label, score in answers
    ]
    return stub


def scored() -> Evaluation:
    data = DataSet(
        "own/test", [Row(str(n), label) for n, label in enumerate(["0", "bad", "1", "2"])]
    )
    return evaluate(predictor(("bad", 1.0), ("good", 0.5), ("fair", 1.0), ("good", 1.0)), data)


def test_evaluation_is_right_on_a_hand_example() -> None:
    evaluation = scored()
    assert (evaluation.rows, evaluation.accuracy) == (4, 0.75)
    assert evaluation.confusion == [[1, 0, 1], [0, 1, 0], [0, 0, 1]]
    assert evaluation.f1 == pytest.approx((2 / 3 + 1 + 2 / 3) / 3)
    assert evaluation.calibration_error == pytest.approx(0.5 / 4)
    assert evaluation.calibration_noise == pytest.approx(0.5 / 4)  # one row in four is a coin


def test_table_names_every_label() -> None:
    table = scored().table()
    assert "own/test: 4 rows" in table
    assert "accuracy            75.00%" in table
    assert "calibration error   12.50%  (12.50% by chance alone)" in table
    assert [line.split()[0] for line in table.splitlines()[-3:]] == list(LABELS)


def test_card_entry_is_rounded_and_plain() -> None:
    entry = scored().to_dict()
    assert "data" not in entry
    assert entry["f1"] == 0.7778
    assert entry["labels"] == ["bad", "fair", "good"]


def test_label_that_is_nowhere_counts_as_nothing() -> None:
    data = DataSet("own/test", [Row("a", "bad")])
    assert evaluate(predictor(("bad", 1.0)), data).f1 == pytest.approx(1 / 3)


def test_label_the_model_doesnt_know_is_refused() -> None:
    with pytest.raises(DataError, match="'maybe'"):
        evaluate(predictor(("bad", 1.0)), DataSet("own/test", [Row("a", "maybe")]))


def test_evaluation_runs_a_real_model(weights: Path) -> None:
    write_model(weights)
    _, real = load_predictor(weights, "lstm")
    evaluation = evaluate(real, DataSet("a/b", [Row("great film", "1"), Row("dull", "0")]))
    assert sum(map(sum, evaluation.confusion)) == 2
    assert evaluation.schedules_agree is None
    assert "schedules_agree" not in evaluation.to_dict()


def test_schedules_are_compared_row_by_row() -> None:
    def answers(*labels: str) -> list[Prediction]:
        prepared = PreparedText(([2, 3],), 2, 0, truncated=False)
        return [Prediction(Verdict(label, 0.9, {}), prepared) for label in labels]

    stub = predictor()
    stub.classifier.encoder.schedules = ("serial", "parallel")
    said = {"serial": ("bad", "good"), "parallel": ("bad", "fair")}
    stub.predict.side_effect = lambda _, schedule=None: answers(*said[schedule])
    data = DataSet("own/test", [Row("a", "bad"), Row("b", "good")])
    evaluation = evaluate(stub, data)
    assert evaluation.schedules_agree == 0.5
    assert evaluation.to_dict()["schedules_agree"] == 0.5
    assert "one label under every schedule: 50.00%" in evaluation.table()


def test_bfloat16_is_compared_with_float32_row_by_row() -> None:
    halved = predictor(("bad", 0.9), ("fair", 0.9), ("good", 0.9), ("good", 0.9))
    whole = predictor(("bad", 0.9), ("bad", 0.9), ("good", 0.9), ("good", 0.9))
    data = DataSet("own/test", [Row(str(n), "bad") for n in range(4)])
    evaluation = evaluate(whole, data, halved)
    assert evaluation.accuracy == 0.5  # float32's
    assert evaluation.bfloat16_agrees == 0.75
    assert evaluation.to_dict()["bfloat16_agrees"] == 0.75
    assert "one label in float32 and bfloat16: 75.00%" in evaluation.table()
    assert "bfloat16_agrees" not in evaluate(whole, data).to_dict()


@pytest.mark.parametrize("architecture", ["lstm", "mingru"])
def test_bfloat16_of_a_real_model_is_another_model(weights: Path, architecture: str) -> None:
    write_model(weights, architecture, architecture=architecture)
    _, real = load_predictor(weights, architecture)
    halved = in_bfloat16(real)
    if halved is None:
        pytest.skip("no bfloat16 here")
    assert halved.classifier.head.weight.dtype == torch.bfloat16
    assert halved.classifier.embedding is real.classifier.embedding
    assert real.classifier.head.weight.dtype == torch.float32
    rows = [Row(text, "1") for text in ("great film", "one two three four five six", "dull")]
    assert evaluate(real, DataSet("a/b", rows), halved).bfloat16_agrees == 1.0


def test_bfloat16_isnt_tried_where_there_is_none(
    weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_model(weights)
    monkeypatch.setattr("training.evaluate.computes_bfloat16", lambda device: False)
    assert in_bfloat16(load_predictor(weights, "lstm")[1]) is None


def test_schedules_of_a_real_model_agree(weights: Path) -> None:
    write_model(weights, "mingru", architecture="mingru")
    _, real = load_predictor(weights, "mingru")
    rows = [Row(text, "1") for text in ("great film", "one two three four five six", "dull")]
    assert evaluate(real, DataSet("a/b", rows)).schedules_agree == 1.0

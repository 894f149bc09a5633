from __future__ import annotations

import pytest
import torch

from training.calibrate import (
    calibration_noise,
    expected_calibration_error,
    fit_temperature,
)


def test_temperature_finds_what_the_labels_were_drawn_with() -> None:
    torch.manual_seed(1)
    logits = torch.randn(20_000, 3)
    labels = torch.multinomial((logits / 2.5).softmax(1), 1).squeeze(1)
    assert fit_temperature(logits, labels) == pytest.approx(2.5, rel=0.1)


def test_temperature_of_two_scores_is_solved_by_hand() -> None:
    # Three of four right at logit 4: calibrated where sigmoid(4 / T) = 3/4, at T = 4 / ln 3.
    logits = torch.tensor([[0.0, 4.0]] * 4)
    labels = torch.tensor([1, 1, 1, 0])
    assert fit_temperature(logits, labels) == pytest.approx(4 / 1.0986, rel=0.01)


def test_temperature_of_a_faultless_model_is_bounded() -> None:
    assert fit_temperature(torch.tensor([[0.0, 4.0]]), torch.tensor([1])) == pytest.approx(0.1)


def test_calibration_error_is_the_mean_gap_of_the_bins() -> None:
    confidences = torch.tensor([0.6, 0.9, 0.6, 0.9])
    correct = torch.tensor([True, True, False, True])
    # Bins of 0.6 (half right) and 0.9 (all right): gaps of 0.1 and 0.1.
    assert expected_calibration_error(confidences, correct, bins=2) == pytest.approx(0.1)
    # In one bin 0.75 stands against 3/4.
    assert expected_calibration_error(confidences, correct, bins=1) == pytest.approx(0)


def test_calibration_error_of_few_rows_takes_fewer_bins() -> None:
    error = expected_calibration_error(torch.tensor([0.7]), torch.tensor([True]))
    assert error == pytest.approx(0.3)


def test_noise_of_calibration_falls_with_the_root_of_the_rows() -> None:
    few = calibration_noise(torch.full((300,), 0.8))
    many = calibration_noise(torch.full((30_000,), 0.8))
    # In a bin of 20 rows the share that is right strays by sqrt(0.8 * 0.2 / 20) * sqrt(2 / pi).
    assert few == pytest.approx(0.0714, rel=0.05)
    assert few / many == pytest.approx(10, rel=0.1)


def test_noise_of_calibration_is_none_where_nothing_is_doubted() -> None:
    assert calibration_noise(torch.ones(50)) == 0


def test_noise_of_calibration_is_repeatable() -> None:
    confidences = torch.linspace(0.5, 1, 100)
    assert calibration_noise(confidences) == calibration_noise(confidences)

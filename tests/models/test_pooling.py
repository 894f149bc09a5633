from __future__ import annotations

import pytest
import torch

from models.pooling import POOLINGS, Pooling, pooled_size

HIDDEN_STATES = torch.tensor(
    [
        [[1.0, -4.0], [3.0, -2.0], [100.0, 100.0]],
        [[5.0, 6.0], [7.0, 0.0], [0.0, 3.0]],
    ]
)
MASK = torch.tensor([[True, True, False], [True, True, True]])


@pytest.mark.parametrize(
    ("pooling", "expected"),
    [
        ("mean", [[2.0, -3.0], [4.0, 3.0]]),
        ("mean_max", [[2.0, -3.0, 3.0, -2.0], [4.0, 3.0, 7.0, 6.0]]),
        ("last", [[3.0, -2.0], [0.0, 3.0]]),
    ],
)
def test_pooling_takes_the_real_tokens(pooling: Pooling, expected: list[list[float]]) -> None:
    assert POOLINGS[pooling](HIDDEN_STATES, MASK).tolist() == expected


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("filling", [-1e30, 0.0, 1e30])
def test_pooling_leaves_padding_out(pooling: Pooling, filling: float) -> None:
    changed = HIDDEN_STATES.masked_fill(~MASK.unsqueeze(-1), filling)
    assert torch.equal(POOLINGS[pooling](changed, MASK), POOLINGS[pooling](HIDDEN_STATES, MASK))


@pytest.mark.parametrize("pooling", POOLINGS)
def test_pooling_is_as_wide_as_it_says(pooling: Pooling) -> None:
    assert POOLINGS[pooling](HIDDEN_STATES, MASK).shape == (2, pooled_size(pooling, 2))


def test_mean_of_a_long_text_keeps_its_precision_in_bfloat16() -> None:
    hidden_states = torch.ones(
        1, 500, 4, dtype=torch.bfloat16
    )  # summed one by one they stop at 256
    mean = POOLINGS["mean"](hidden_states, torch.ones(1, 500, dtype=torch.bool))
    torch.testing.assert_close(mean.float(), torch.ones(1, 4), rtol=0.01, atol=0.0)

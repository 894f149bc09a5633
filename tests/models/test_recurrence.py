"""Our recurrences are torch's: the same weights, the same answer. Their layout is for a GPU."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from models import recurrence

PAIRS: list[tuple[Any, Any]] = [
    (recurrence.RNN, nn.RNN),
    (recurrence.GRU, nn.GRU),
    (recurrence.LSTM, nn.LSTM),
]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
def test_answer_is_that_of_torch(ours: Any, theirs: Any, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    one, other = (kind(6, 5, 2, batch_first=True).to(dtype) for kind in (ours, theirs))
    other.load_state_dict(one.state_dict())
    steps = torch.randn(3, 4, 6).to(dtype)
    with torch.inference_mode():
        assert torch.equal(one.states(steps), other(steps)[0])


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.bfloat16, 1e-2)])
@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("kind", [ours for ours, _ in PAIRS])
@torch.inference_mode()
def test_packed_states_are_those_of_torch(
    kind: Any, rows: int, dtype: torch.dtype, tolerance: float
) -> None:
    torch.manual_seed(0)
    module = kind(6, 5, 2, batch_first=True).half().to(dtype)
    steps = torch.randn(rows, 7, 6).to(dtype)
    expected = module(steps)[0]
    module.pack()
    states = module.states(steps)
    assert states.dtype == dtype
    torch.testing.assert_close(states, expected, rtol=0, atol=tolerance)
    assert module.weight_hh_l1.numel() == 0  # so it wasn't the old way


@torch.inference_mode()
def test_gru_stays_as_it_is_where_float16_would_change_it() -> None:
    torch.manual_seed(0)
    module = recurrence.GRU(6, 5, batch_first=True)
    steps = torch.randn(2, 4, 6)
    expected = module(steps)[0]
    module.pack()
    assert torch.equal(module.states(steps), expected)


def test_a_cpu_leaves_torchs_list_of_dtypes_alone() -> None:
    before = set(torch.backends.cudnn.CUDNN_TENSOR_DTYPES)
    recurrence.LSTM(6, 5).to(torch.bfloat16).flatten_parameters()
    assert before == torch.backends.cudnn.CUDNN_TENSOR_DTYPES

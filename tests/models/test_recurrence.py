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
        assert torch.equal(one(steps)[0], other(steps)[0])


def test_a_cpu_leaves_torchs_list_of_dtypes_alone() -> None:
    before = set(torch.backends.cudnn.CUDNN_TENSOR_DTYPES)
    recurrence.LSTM(6, 5).to(torch.bfloat16).flatten_parameters()
    assert before == torch.backends.cudnn.CUDNN_TENSOR_DTYPES

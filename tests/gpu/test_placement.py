"""Workers on the GPUs there are."""

from __future__ import annotations

import pytest
import torch

from service.engine.placement import count_gpus, place

pytestmark = pytest.mark.gpu


def test_every_gpu_gets_a_worker_unless_told_otherwise() -> None:
    gpus = torch.cuda.device_count()
    assert count_gpus() == gpus
    assert place("auto", None, 2) == [f"cuda:{index}" for index in range(gpus)]

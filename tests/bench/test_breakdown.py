"""Where a forward's time goes: every operation is of one kind, and nothing is counted twice."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from bench import breakdown
from bench.breakdown import (
    LABEL,
    NATIVE,
    REST,
    break_down,
    divided,
    kind_of,
    native_calls_named,
    shares_of,
    split,
)
from bench.gap import load_subjects
from models import native
from models.transformer import TransformerConfig, TransformerEncoder
from tests.models.native import need_encoder
from tests.small import write_model


@pytest.mark.parametrize(
    ("operation", "kind"),
    [
        ("mkldnn::_linear_pointwise", "matrix products"),
        ("aten::addmm", "matrix products"),
        ("aten::_scaled_dot_product_flash_attention_for_cpu", "attention"),
        ("aten::mkldnn_rnn_layer", "recurrence"),
        ("aten::quantized_gru", "recurrence"),
        ("aten::convolution", "convolution"),
        ("aten::native_layer_norm", "norms"),
        *zip(
            NATIVE.values(),
            (REST, "recurrence", "matrix products", "copies", "copies"),
            strict=True,
        ),
        ("aten::copy_", "copies"),
        ("aten::add", "element by element"),
        (LABEL, REST),
        ("aten::empty", REST),
    ],
)
def test_operation_is_of_one_kind(operation: str, kind: str) -> None:
    assert kind_of(operation) == kind


def event(name: str, start: int, end: int, own: float, *, device: str = "CPU") -> Any:
    span = SimpleNamespace(start=start, end=end)
    where = SimpleNamespace(name=device)
    return SimpleNamespace(
        name=name,
        time_range=span,
        thread=1,
        device_type=where,
        self_cpu_time_total=own,
        self_device_time_total=own / 2,
    )


def test_each_operation_is_of_the_forward_that_it_ran_in() -> None:
    events = [
        event("aten::addmm", 0, 5, 5),
        event(LABEL, 10, 20, 2),
        event("aten::addmm", 12, 15, 3),
        event("a kernel", 12, 15, 3, device="CUDA"),
        event(LABEL, 30, 40, 1),
        event("aten::add", 31, 32, 1),
        event("aten::add", 33, 34, 1),
    ]
    first, second = split(events)
    assert shares_of(first, "cpu") == pytest.approx({"matrix products": 3e-6, REST: 2e-6})
    assert shares_of(second, "cuda") == pytest.approx({"element by element": 1e-6, REST: 5e-7})


def test_shares_of_a_forward_are_of_the_whole(
    weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(breakdown, "FORWARDS", 2)
    write_model(weights, "transformer", architecture="transformer")
    (subject,) = load_subjects(weights, ["transformer"], torch.float32, torch.device("cpu"))
    found = break_down(subject, "float32", 2, 8)
    assert sum(found.shares.values()) == pytest.approx(1)
    assert {"matrix products", "attention", "norms", REST} <= set(found.shares)
    assert found.seconds > 0
    assert (found.model, found.batch, found.length) == ("transformer", 2, 8)


@torch.inference_mode()
def test_native_calls_are_seen_while_somebody_looks(threads: int) -> None:
    need_encoder()
    torch.set_num_threads(1)
    config = TransformerConfig(input_size=32, d_model=64, num_heads=2, d_ff=96)
    encoder = TransformerEncoder(config).bfloat16()
    encoder.pack()
    function = native.loaded().lockstep_encode
    with torch.profiler.profile() as profiled, native_calls_named() as within:
        for length in (7, 90):
            encoder(torch.randn(1, length, 32).bfloat16(), torch.ones(1, length).bool())
    (call,) = (one for one in profiled.key_averages() if one.key == "native encoder")
    assert call.count == len(within) == 2
    seconds = sum(map(sum, within))
    assert 0 < seconds <= call.cpu_time_total / 1e6
    for products, attention, norms, copies, waiting in within:
        assert min(products, attention, norms) > 0
        assert copies == waiting == 0, "embeddings were given, to one thread"
    assert native.loaded().lockstep_encode is function


def test_native_call_is_divided_as_it_says() -> None:
    times = {"norms": 1.0, REST: 9.0}
    assert divided(times, (3.0, 2.0, 1.5, 0.25, 0.5)) == {
        "matrix products": 3.0,
        "attention": 2.0,
        "norms": 2.5,
        "copies": 0.25,
        "waiting for threads": 0.5,
        REST: 1.75,
    }
    assert divided(times, ()) == times

"""Attention as training runs it equals attention as the service runs it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from models.attention import Padding, attend, padding_mask
from models.minilm import MiniLMEncoder
from models.rows import usual
from tests.models.test_contract import batch, logits, make


def inputs(dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(2)
    query, key, value = torch.randn(3, 2, 4, 9, 8, dtype=dtype)  # each (B, nh, T, hs)
    return query, key, value


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.bfloat16, 2e-2)])
@pytest.mark.parametrize("padded", [False, True])
def test_both_paths_agree(dtype: torch.dtype, tolerance: float, padded: bool) -> None:
    attention_mask = torch.ones(2, 9, dtype=torch.bool)
    attention_mask[1, 5:] = not padded
    mask = padding_mask(attention_mask)
    assert (mask is None) != padded
    trained = attend(*inputs(dtype), mask)
    with torch.inference_mode():
        served = attend(*inputs(dtype), mask)
    torch.testing.assert_close(trained, served, atol=tolerance, rtol=tolerance)


def masked(*lengths: int) -> Tensor:
    return torch.arange(max(lengths)) < torch.tensor(lengths).unsqueeze(1)


@torch.inference_mode()
def test_layers_see_real_tokens_alone_where_much_is_padding() -> None:
    padding = Padding.of(masked(5, 2))
    hidden_states = torch.randn(2, 5, 3)
    seen = padding.gather(hidden_states)
    assert torch.equal(seen, torch.cat((hidden_states[0], hidden_states[1, :2])))  # 7 are usual
    back = padding.spread(seen)
    assert torch.equal(back[1, :2], hidden_states[1, :2])
    assert not back[1, 2:].any()


@pytest.mark.parametrize("lengths", [(5, 5), (25, 24)])
@torch.inference_mode()
def test_layers_see_all_where_little_is_padding(lengths: tuple[int, ...]) -> None:
    padding = Padding.of(masked(*lengths))
    assert padding.tokens is None
    assert (padding.mask is None) == (lengths == (5, 5))
    hidden_states = torch.randn(2, max(lengths), 3)
    seen = padding.gather(hidden_states)
    assert seen.shape == (usual(2 * max(lengths)), 3)
    assert torch.equal(padding.spread(seen), hidden_states)


def test_layers_see_the_batch_in_training() -> None:
    padding = Padding.of(masked(5, 2))
    hidden_states = torch.randn(2, 5, 3)
    assert padding.gather(hidden_states) is padding.spread(hidden_states) is hidden_states


def test_skipping_the_padding_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    classifier = make("minilm")
    skipped = logits(classifier, *batch())
    monkeypatch.setattr("models.attention.WORTH_SKIPPING", 1.0)
    torch.testing.assert_close(skipped, logits(classifier, *batch()), rtol=1e-4, atol=1e-5)


def test_padding_is_computed_where_it_is_not_to_be_skipped() -> None:
    torch.manual_seed(0)
    classifier = make("minilm")
    seen: list[tuple[int, ...]] = []
    layer = classifier.get_submodule("encoder.blocks.0.contract")
    layer.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].shape[:-1]))
    skipped = logits(classifier, *batch())
    assert isinstance(classifier.encoder, MiniLMEncoder)
    classifier.encoder.skip_padding = False
    computed = logits(classifier, *batch())
    input_ids, attention_mask = batch()
    assert seen == [(usual(int(attention_mask.sum())),), (usual(input_ids.numel()),)]
    torch.testing.assert_close(skipped, computed, rtol=1e-4, atol=1e-5)

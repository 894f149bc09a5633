"""Attention of every text in one native call is its formula, whatever the texts."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from models import native
from models.attention import attend_texts, can_attend
from models.rotation import angles, rotate, waves
from tests.models.native import need_library

# Around what the tiles hold: 16 keys, 32 queries, 32 values.
LENGTHS = (1, 2, 15, 16, 17, 31, 32, 33, 47, 48, 49, 64, 65, 100, 255, 256, 300, 512)
CLOSE = 0.02  # weights are rounded by 0.004 of themselves, sums of values up to some 4 as well


@pytest.fixture(autouse=True)
def tiles() -> None:
    torch.manual_seed(0)
    need_library()
    if not can_attend(32, torch.bfloat16):
        pytest.skip("this processor has no matrix tiles")


def starts(lengths: tuple[int, ...]) -> Tensor:
    return torch.tensor((0, *lengths)).cumsum(0).int()


def line(lengths: tuple[int, ...], heads: int = 3, size: int = 32, spare: int = 0) -> Tensor:
    return (1.5 * torch.randn(sum(lengths) + spare, 3, heads, size)).bfloat16()


def attend(projected: Tensor, lengths: tuple[int, ...], rotation: Tensor | None = None) -> Tensor:
    return attend_texts(projected, starts(lengths), max(lengths), rotation).float()


def formula(projected: Tensor) -> Tensor:
    """Of one text, (T, 3, nh, hs) -> (T, nh·hs)."""
    query, key, value = projected.double().permute(1, 2, 0, 3)  # each (nh, T, hs)
    scores = query @ key.mT / math.sqrt(query.shape[-1])
    attended: Tensor = scores.softmax(-1) @ value
    return attended.transpose(0, 1).flatten(1).float()


def by_formula(projected: Tensor, lengths: tuple[int, ...]) -> Tensor:
    return torch.cat(
        [formula(text) for text in torch.split(projected[: sum(lengths)], list(lengths))]
    )


@pytest.mark.parametrize("size", [32, 64, 96, 128, 256])
def test_states_are_those_of_the_formula(size: int) -> None:
    projected = line(LENGTHS, size=size)
    expected = by_formula(projected, LENGTHS)
    torch.testing.assert_close(attend(projected, LENGTHS), expected, rtol=0, atol=CLOSE)


@pytest.mark.parametrize("length", [1, 16, 33, 512])
def test_one_text_is_attended_to_alone(length: int) -> None:
    projected = line((length,), heads=1)
    expected = formula(projected)
    torch.testing.assert_close(attend(projected, (length,)), expected, rtol=0, atol=CLOSE)


@pytest.mark.parametrize("size", [32, 64, 96])
def test_queries_and_keys_are_turned_for_their_positions(size: int) -> None:
    lengths = (40, 1, 17, 100)
    projected = line(lengths, size=size)
    turned = waves(angles(max(lengths), size, projected.device))
    texts = []
    for text in torch.split(projected.double(), list(lengths)):
        both = torch.cat((turned, turned), -1).double()[:, : len(text), None, None]
        texts.append(torch.cat((rotate(text[:, :2], *both), text[:, 2:]), 1))
    expected = torch.cat([formula(text) for text in texts])
    atol = 2 * CLOSE  # what was turned is rounded again
    torch.testing.assert_close(attend(projected, lengths, turned), expected, rtol=0, atol=atol)
    assert (attend(projected, lengths) - expected).abs().max() > 10 * CLOSE


def test_rows_after_the_last_text_give_zeros() -> None:
    projected = line((5, 20), spare=7)
    projected[25:] = math.nan
    attended = attend(projected, (5, 20))
    assert attended[:25].isfinite().all()
    assert not attended[25:].any()


@pytest.mark.parametrize("value", [7.0, math.nan, math.inf])
def test_no_text_changes_another_by_a_bit(value: float) -> None:
    lengths = (17, 40, 3, 64)
    projected = line(lengths)
    before = attend(projected, lengths)
    projected[17:57] = value
    after = attend(projected, lengths)
    assert torch.equal(before[:17], after[:17])
    assert torch.equal(before[57:], after[57:])
    assert not torch.equal(before[17:57], after[17:57])
    if not math.isfinite(value):
        assert not after[17:57].isfinite().any()


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("length", [20, 40])
def test_what_isnt_a_number_reaches_every_query(value: float, length: int) -> None:
    projected = line((length,), heads=1)
    projected[length - 1, 1] = value  # a key
    assert not attend(projected, (length,)).isfinite().any()


def test_scores_may_be_large() -> None:
    """The softmax of such is one word's; of those far below it nothing is left."""
    projected = line((50,)) * 2000
    expected = by_formula(projected, (50,))
    torch.testing.assert_close(attend(projected, (50,)), expected, rtol=0.01, atol=0)
    projected[:, 0] = 0.0  # all scores alike
    mean = projected[:, 2].float().mean(0).flatten().expand(50, -1)
    torch.testing.assert_close(attend(projected, (50,)), mean, rtol=0.02, atol=10)


def test_threads_change_no_bit(threads: int) -> None:
    lengths = (300, 5, 64, 17, 200, 33) * 3
    projected = line(lengths, heads=4)
    torch.set_num_threads(1)
    alone = attend(projected, lengths)
    for count in (2, 3, 4):
        torch.set_num_threads(count)
        for _ in range(3):  # so that they overlap
            assert torch.equal(attend(projected, lengths), alone)


def test_what_lies_in_memory_is_never_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """What threads work with holds whatever was there: not a number, here."""
    lengths = (33, 1, 18)
    projected = line(lengths)
    expected = attend(projected, lengths)
    monkeypatch.setattr(torch, "empty", lambda size, dtype: torch.full((size,), 255, dtype=dtype))
    assert torch.equal(attend(projected, lengths), expected)


@pytest.mark.parametrize(
    ("size", "dtype"), [(48, torch.bfloat16), (288, torch.bfloat16), (32, torch.float32)]
)
def test_other_heads_and_formats_stay_with_torch(size: int, dtype: torch.dtype) -> None:
    assert not can_attend(size, dtype)


def test_processor_without_tiles_stays_with_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "way", lambda: native.Way.VECTORS)
    assert not can_attend(32, torch.bfloat16)

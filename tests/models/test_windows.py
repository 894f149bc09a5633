from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import TextTooLongError, WindowError
from models.tokenizer import Tokenizer
from models.windows import prepare, segment, truncate

LONG = "one two three four five six seven eight nine ten"  # 12 tokens with the special ones


@pytest.fixture
def tokenizer(weights: Path) -> Tokenizer:
    return Tokenizer.load(weights / "wordpiece")


def test_short_text_is_one_window(tokenizer: Tokenizer) -> None:
    (text,) = prepare(["a film"], tokenizer, window=8)
    assert (text.tokens, len(text.windows), text.truncated) == (4, 1, False)


def test_text_as_long_as_the_window_is_left_alone(tokenizer: Tokenizer) -> None:
    (text,) = prepare([LONG], tokenizer, window=12, long_input="error")
    assert [len(window) for window in text.windows] == [12]
    assert not text.truncated


def test_text_without_a_window_is_read_whole(tokenizer: Tokenizer) -> None:
    (text,) = prepare([LONG], tokenizer, window=None, long_input="error")
    assert [len(window) for window in text.windows] == [12]


def test_truncate_keeps_both_ends(tokenizer: Tokenizer) -> None:
    whole = tokenizer.encode([LONG])[0].ids
    (text,) = prepare([LONG], tokenizer, window=8)
    assert text.windows == (whole[:4] + whole[-4:],)
    assert (text.tokens, text.truncated) == (12, True)


def test_segment_reads_every_token_once(tokenizer: Tokenizer) -> None:
    whole = tokenizer.encode([LONG])[0].ids
    (text,) = prepare([LONG], tokenizer, window=8, long_input="segment")
    assert [token for window in text.windows for token in window[1:-1]] == whole[1:-1]
    assert (text.tokens, text.truncated) == (12, False)


def test_error_names_the_text_and_the_window(tokenizer: Tokenizer) -> None:
    with pytest.raises(
        WindowError, match="text 1 has 12 tokens; the model's window is 8"
    ) as caught:
        prepare(["a film", LONG], tokenizer, window=8, long_input="error")
    assert (caught.value.index, caught.value.tokens, caught.value.window) == (1, 12, 8)


def test_limit_of_tokens_comes_before_any_cut(tokenizer: Tokenizer) -> None:
    with pytest.raises(TextTooLongError, match="text 1 has 12 tokens; the limit is 11") as caught:
        prepare(["a film", LONG], tokenizer, window=8, max_tokens=11)
    assert (caught.value.index, caught.value.tokens, caught.value.limit) == (1, 12, 11)
    assert prepare([LONG], tokenizer, window=8, max_tokens=12)[0].truncated


def test_unknown_tokens_are_those_of_the_whole_text(tokenizer: Tokenizer) -> None:
    (text,) = prepare([f"{LONG} zebra {LONG}"], tokenizer, window=8)
    assert text.unknown_tokens == 1
    assert tokenizer.unknown_id not in text.windows[0]


@given(length=st.integers(3, 400), window=st.integers(3, 60))
def test_segment_is_even_and_complete(length: int, window: int) -> None:
    ids = list(range(length))
    windows = segment(ids, window)
    assert [token for one in windows for token in one[1:-1]] == ids[1:-1]
    assert all((one[0], one[-1]) == (ids[0], ids[-1]) for one in windows)
    sizes = [len(one) for one in windows]
    assert max(sizes) <= window
    assert max(sizes) - min(sizes) <= 1
    assert len(windows) == -(-(length - 2) // (window - 2))


@given(length=st.integers(3, 100), window=st.integers(2, 60))
def test_truncate_keeps_the_window_full(length: int, window: int) -> None:
    kept = truncate(list(range(length)), window)
    assert len(kept) == min(length, window)
    assert (kept[0], kept[-1]) == (0, length - 1)
    assert kept == sorted(set(kept))

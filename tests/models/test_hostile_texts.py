"""Whatever a text is made of, it is read as every other, or refused by its index."""

from __future__ import annotations

from typing import cast

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from models.errors import TextError
from models.folder import WORDPIECE
from models.tokenizer import Tokenizer
from models.windows import LongInput, PreparedText, prepare
from service.settings import SHIPPED_WEIGHTS

MAX_TOKENS = 3000
WINDOWS = [None, 3, 8, 128]

# Every code point there is: unpaired surrogates, controls and those that mean nothing included.
anything = st.text(st.characters(), max_size=60)
odd = st.text(
    st.characters(categories=["Cc", "Cf", "Cn", "Co", "Cs", "Mn", "Zl", "Zs"]), max_size=60
)
huge = st.builds(
    lambda one, times: one * times, st.text(min_size=1, max_size=3), st.integers(1, 5000)
)
spaces = st.text(st.sampled_from(" \t\n\r\u00a0\u2028\u3000\x00\x0b\x1c"), max_size=60)
special = st.lists(
    st.sampled_from(
        ["[CLS]", "[SEP]", "[PAD]", "[UNK]", "[MASK]", "##s", "<br />", "\ufeff", "fine"]
    )
).map(" ".join)
texts = st.lists(anything | odd | huge | spaces | special, min_size=1, max_size=4)


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.load(SHIPPED_WEIGHTS / WORDPIECE)


def read(
    given_texts: list[str], tokenizer: Tokenizer, window: int | None, long_input: LongInput
) -> list[PreparedText] | TextError:
    try:
        return prepare(given_texts, tokenizer, window, long_input, MAX_TOKENS)
    except TextError as error:
        return error


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(texts, st.sampled_from(WINDOWS), st.sampled_from(["truncate", "segment", "error"]))
@example(["\ud800"], None, "truncate")
@example(["a" * 200_000], 128, "segment")
@example(["\u0301" * 5000], 128, "segment")
@example(["\U0010ffff\uffff\ufdd0"], 3, "truncate")
@example(["x " * 2999, " "], 128, "segment")
def test_whatever_comes_is_windows_or_a_texts_fault(
    tokenizer: Tokenizer, given_texts: list[str], window: int | None, long_input: str
) -> None:
    prepared = read(given_texts, tokenizer, window, cast(LongInput, long_input))
    if isinstance(prepared, TextError):
        assert 0 <= prepared.index < len(given_texts)
        assert len(str(prepared)) < 200  # of the text nothing is repeated
        return
    assert len(prepared) == len(given_texts)
    for text in prepared:
        lengths = [len(ids) for ids in text.windows]
        assert 3 <= text.tokens <= MAX_TOKENS
        assert 0 <= text.unknown_tokens <= text.tokens - 2
        assert max(lengths) <= (window or MAX_TOKENS)
        for ids in text.windows:
            assert (ids[0], ids[-1]) == (tokenizer.start_id, tokenizer.end_id)
        content = sum(lengths) - 2 * len(lengths)
        assert (content < text.tokens - 2) == text.truncated


@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(special | anything)
def test_no_text_holds_a_special_token(tokenizer: Tokenizer, text: str) -> None:
    try:
        (tokens,) = tokenizer.encode([text])
    except TextError:
        return
    ours = {tokenizer.start_id, tokenizer.end_id, tokenizer.padding_id, tokenizer.mask_id}
    assert not ours & set(tokens.ids[1:-1])

"""Tokens to windows: what an encoder with a bounded view reads of a long text. No torch."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from models.errors import TextTooLongError, WindowError
from models.tokenizer import Tokenizer, Tokens

LongInput = Literal["truncate", "segment", "error"]


@dataclass(frozen=True, slots=True)
class PreparedText:
    """A text as its encoder will read it.

    Attributes:
        windows: token ids, one list a window, each with its special tokens.
        tokens: tokens of the whole text, special tokens included, before any cut.
        unknown_tokens: how many of those the vocabulary doesn't know.
        truncated: whether some of the text is in no window.
    """

    windows: tuple[list[int], ...]
    tokens: int
    unknown_tokens: int
    truncated: bool


def prepare(
    texts: Sequence[str],
    tokenizer: Tokenizer,
    window: int | None,
    long_input: LongInput = "truncate",
    max_tokens: int | None = None,
) -> list[PreparedText]:
    """Tokenizes texts and fits each into windows.

    Args:
        texts: one or more.
        tokenizer: the one the model was trained with.
        window: the longest window in tokens, special tokens included; None takes any length.
        long_input: what to do with a text longer than ``window``: ``truncate`` keeps its first
            and its last half window, ``segment`` reads all of it in windows, ``error`` refuses it.
        max_tokens: the most tokens of one text; None for no limit.

    Raises:
        TextError: a text is empty or isn't Unicode.
        TextTooLongError: a text is longer than ``max_tokens``.
        WindowError: a text is longer than ``window`` and ``long_input`` is ``error``.
    """
    prepared = []
    for index, tokens in enumerate(tokenizer.encode(texts)):
        length = len(tokens.ids)
        if max_tokens is not None and length > max_tokens:
            raise TextTooLongError(index, length, max_tokens)
        if window is None or length <= window:
            prepared.append(PreparedText((tokens.ids,), length, tokens.unknown, truncated=False))
        elif long_input == "error":
            raise WindowError(index, length, window)
        else:
            prepared.append(_fit(tokens, window, cut=long_input == "truncate"))
    return prepared


def _fit(tokens: Tokens, window: int, *, cut: bool) -> PreparedText:
    windows = (truncate(tokens.ids, window),) if cut else segment(tokens.ids, window)
    return PreparedText(windows, len(tokens.ids), tokens.unknown, truncated=cut)


def truncate(ids: list[int], window: int) -> list[int]:
    """The first and the last half window: reviews open and close with their verdict."""
    if len(ids) <= window:
        return ids
    tail = window // 2
    return ids[: window - tail] + ids[-tail:]


def segment(ids: list[int], window: int) -> tuple[list[int], ...]:
    """Windows that share the text evenly, each between the text's own special tokens."""
    start, content, end = ids[:1], ids[1:-1], ids[-1:]
    count = -(-len(content) // (window - 2))  # windows needed, rounded up
    bounds = [len(content) * part // count for part in range(count + 1)]
    return tuple(start + content[left:right] + end for left, right in itertools.pairwise(bounds))

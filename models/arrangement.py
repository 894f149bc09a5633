"""Which rows a batch's texts had best stand in: a pure function of their lengths. No torch.

``layout.py`` says what rows are for, and lays a batch out in them.
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

EVEN = 16  # rows are a multiple of this, or as long as the batch came
SHARED_UP_TO = 128  # tokens of a text that may share a row
WIDTHS = range(32, 288, 32)  # lengths of shared rows
# What a place costs a layer, in units of what attention adds for each place beside it in its row,
# and what more where the row isn't ``EVEN``. For ``minilm`` it was 600 with matrix units and 1350
# without.
PLACE = 1000
UNEVEN = 200


class Block(NamedTuple):
    """Rows of one length: L places, and the texts that stand in each row."""

    length: int
    rows: list[list[int]]


@lru_cache(maxsize=4)  # asked of a batch that runs, then of what it computed
def arrange(lengths: tuple[int, ...], T: int) -> tuple[Block, ...] | None:
    """The rows that cost least; None where that is the batch as it came.

    Args:
        lengths: tokens of each text, one at least.
        T: of the batch, as long as the longest text at least.
    """
    rows: dict[int, list[list[int]]] = {}
    for text, length in enumerate(lengths):
        if length > SHARED_UP_TO:
            rows.setdefault(-(-length // EVEN) * EVEN, []).append([text])
    blocks = [Block(*one) for one in rows.items()]
    short = [text for text, length in enumerate(lengths) if length <= SHARED_UP_TO]
    if short:
        blocks.append(_shared(lengths, short))
    as_it_came = len(lengths) * _row_cost(T)
    return tuple(blocks) if sum(map(_block_cost, blocks)) < as_it_came else None


def _shared(lengths: Sequence[int], texts: Sequence[int]) -> Block:
    """Rows that these texts share."""
    total = sum(lengths[text] for text in texts)
    longest = max(lengths[text] for text in texts)
    best, least = Block(0, []), math.inf
    for L in (width for width in WIDTHS if width >= longest):
        if -(-total // L) * _row_cost(L) < least:  # or it would cost more without any padding
            block = Block(L, best_fit(lengths, texts, L))
            cost = _block_cost(block)
            if cost < least:
                best, least = block, cost
    return best


def best_fit(lengths: Sequence[int], texts: Sequence[int], L: int) -> list[list[int]]:
    """Texts by the row of ``L`` places that they share: the longest first, where least is left."""
    rows: list[list[int]] = []
    left: list[tuple[int, int]] = []  # places, and of which row; those with fewest first
    for text in sorted(texts, key=lengths.__getitem__, reverse=True):
        at = bisect_left(left, (lengths[text], 0))
        if at == len(left):
            rows.append([text])
            room, row = L, len(rows) - 1
        else:
            room, row = left.pop(at)
            rows[row].append(text)
        insort(left, (room - lengths[text], row))
    return rows


def _block_cost(block: Block) -> int:
    return len(block.rows) * _row_cost(block.length)


def _row_cost(L: int) -> int:
    return L * (PLACE + L + UNEVEN * bool(L % EVEN))

"""Rows to what a training step eats: ids, cut to length, in batches of like length."""

from __future__ import annotations

import itertools
import random
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass

from models.tokenizer import Tokenizer
from models.windows import truncate
from training.data import Row, label_index

SENTENCE_ENDS = (".", "!", "?")
SHORT = 64  # tokens of the longest text that counts as a sentence
POOL_BATCHES = 64  # rows sorted together: enough to pad little, few enough to stay random


@dataclass(frozen=True, slots=True)
class Example:
    """One text to learn from.

    Attributes:
        ids: token ids, special tokens included.
        label: position of its label.
    """

    ids: list[int]
    label: int


def examples(
    rows: Sequence[Row], tokenizer: Tokenizer, labels: Sequence[str], max_length: int
) -> list[Example]:
    """Tokenizes rows; a longer text keeps its first and last ``max_length / 2`` tokens."""
    encoded = tokenizer.encode([row.text for row in rows])
    return [
        Example(truncate(tokens.ids, max_length), label_index(row.label, labels))
        for tokens, row in zip(encoded, rows, strict=True)
    ]


def augment(
    source: Sequence[Example], copies: int, tokenizer: Tokenizer, seed: int
) -> list[Example]:
    """Altered copies of the short examples, for a teacher to label (arXiv 1903.12136, section 3.2).

    Each token becomes [MASK] with probability 0.1; with probability 0.25 a copy is cut to a run of
    1 to 5 tokens. Their own labels no longer hold: they are for distillation alone.
    """
    generator = random.Random(seed)  # noqa: S311 - has to be repeatable, not secret
    altered = []
    for _ in range(copies):
        for example in source:
            if len(example.ids) > SHORT:
                continue
            start, content, end = example.ids[:1], example.ids[1:-1], example.ids[-1:]
            content = [tokenizer.mask_id if generator.random() < 0.1 else i for i in content]
            if generator.random() < 0.25:
                size = min(generator.randint(1, 5), len(content))
                first = generator.randint(0, len(content) - size)
                content = content[first : first + size]
            altered.append(Example(start + content + end, example.label))
    return altered


def excerpts(rows: Sequence[Row], count: int, tokenizer: Tokenizer, seed: int) -> list[Example]:
    """Up to ``count`` sentences of each long text, for a teacher to label.

    They are real sentences of the domain where altered copies are broken ones. What their texts
    were labelled doesn't hold for them: like those copies they are for distillation alone.
    """
    generator = random.Random(seed)  # noqa: S311 - has to be repeatable, not secret
    ends = tokenizer.known(SENTENCE_ENDS)
    drawn: list[Example] = []
    for tokens in tokenizer.encode([row.text for row in rows]) if count else []:
        if len(tokens.ids) > SHORT:
            start, content, end = tokens.ids[:1], tokens.ids[1:-1], tokens.ids[-1:]
            found = [s for s in sentences(content, ends) if 4 <= len(s) <= SHORT - 2]
            chosen = generator.sample(found, min(count, len(found)))
            drawn.extend(Example(start + sentence + end, 0) for sentence in chosen)
    return drawn


def thin(source: Sequence[Example], copies: int, tokenizer: Tokenizer, seed: int) -> list[Example]:
    """Copies of the long examples with a sentence in three left out, for a teacher to label.

    Long examples have no altered copies of their own from ``augment``, and are few. What a review
    was labelled may not hold for a part of it: these too are for distillation alone.
    """
    generator = random.Random(seed)  # noqa: S311 - has to be repeatable, not secret
    ends = tokenizer.known(SENTENCE_ENDS)
    thinned = []
    for _ in range(copies):
        for example in source:
            if len(example.ids) <= SHORT:
                continue
            start, content, end = example.ids[:1], example.ids[1:-1], example.ids[-1:]
            found = list(sentences(content, ends))
            kept = [sentence for sentence in found if generator.random() > 1 / 3] or found
            thinned.append(Example(start + list(itertools.chain(*kept)) + end, example.label))
    return thinned


def sentences(ids: Sequence[int], ends: Container[int]) -> Iterator[list[int]]:
    """Cuts token ids after each run of sentence ends; together the pieces are the whole."""
    begin = 0
    for position, token in enumerate(ids):
        last = position + 1 == len(ids)
        if last or (token in ends and ids[position + 1] not in ends):
            yield list(ids[begin : position + 1])
            begin = position + 1


def repeat(count: int, weight: float, generator: random.Random) -> list[int]:
    """Positions 0 … count - 1, ``weight`` times over: 1.5 is each once and half of them twice."""
    whole, part = divmod(weight, 1.0)
    return list(range(count)) * int(whole) + generator.sample(range(count), int(count * part))


def batches(
    lengths: Sequence[int],
    order: Sequence[int],
    max_tokens: int,
    max_rows: int,
    generator: random.Random,
) -> list[list[int]]:
    """Positions in random batches of like length, ``max_rows`` and ``max_tokens`` at most."""
    shuffled = list(order)
    generator.shuffle(shuffled)
    result: list[list[int]] = []
    pool = POOL_BATCHES * max_rows
    for begin in range(0, len(shuffled), pool):
        batch: list[int] = []
        for index in sorted(shuffled[begin : begin + pool], key=lengths.__getitem__):
            if batch and (len(batch) == max_rows or (len(batch) + 1) * lengths[index] > max_tokens):
                result.append(batch)
                batch = []
            batch.append(index)
        if batch:
            result.append(batch)
    generator.shuffle(result)
    return result

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.tokenizer import Tokenizer
from training.data import DataError, Row
from training.examples import Example, augment, batches, examples, excerpts, repeat, sentences, thin


@pytest.fixture
def tokenizer(weights: Path) -> Tokenizer:
    return Tokenizer.load(weights / "wordpiece")


def test_examples_are_cut_to_both_ends(tokenizer: Tokenizer) -> None:
    rows = [Row("one two three four five six", "1"), Row("dull", "negative")]
    long, short = examples(rows, tokenizer, ("negative", "positive"), 4)
    whole = tokenizer.encode([rows[0].text])[0].ids
    assert long == Example(whole[:2] + whole[-2:], 1)
    assert short == Example(tokenizer.encode(["dull"])[0].ids, 0)


def test_example_of_an_unknown_label_is_refused(tokenizer: Tokenizer) -> None:
    with pytest.raises(DataError, match="'maybe'"):
        examples([Row("dull", "maybe")], tokenizer, ("negative", "positive"), 4)


def test_augment_alters_short_examples_alone(tokenizer: Tokenizer) -> None:
    short, long = Example([2, *range(5, 25), 3], 1), Example([2] + [7] * 80 + [3], 0)
    altered = augment([short, long], 200, tokenizer, seed=1)
    assert len(altered) == 200
    assert any(tokenizer.mask_id in example.ids for example in altered)
    assert {len(example.ids) for example in altered} == {3, 4, 5, 6, 7, 22}
    assert all((example.ids[0], example.ids[-1]) == (2, 3) for example in altered)
    unmasked = [e.ids[1:-1] for e in altered if tokenizer.mask_id not in e.ids]
    assert all(ids == list(range(ids[0], ids[0] + len(ids))) for ids in unmasked)


def test_augment_is_repeatable(tokenizer: Tokenizer) -> None:
    source = [Example([2, 5, 6, 7, 3], 1)]
    assert augment(source, 9, tokenizer, seed=1) == augment(source, 9, tokenizer, seed=1)
    assert augment(source, 9, tokenizer, seed=1) != augment(source, 9, tokenizer, seed=2)
    assert source == [Example([2, 5, 6, 7, 3], 1)]


def test_excerpts_are_whole_sentences_of_long_texts(tokenizer: Tokenizer) -> None:
    long = "the film was great . " * 12 + "one two three four five six ! ! fine ."
    drawn = excerpts([Row(long, "1"), Row("dull film .", "0")], 99, tokenizer, seed=1)
    wanted = tokenizer.encode(["the film was great .", "one two three four five six ! !"])
    assert {tuple(example.ids) for example in drawn} == {tuple(tokens.ids) for tokens in wanted}
    assert len(drawn) == 13  # "fine ." is too short to judge
    assert len(excerpts([Row(long, "1")], 3, tokenizer, seed=1)) == 3


def test_excerpts_are_repeatable_and_may_be_none(tokenizer: Tokenizer) -> None:
    rows = [Row("the film was great . one two three was dull ! " * 9, "1")]
    assert excerpts(rows, 5, tokenizer, seed=1) == excerpts(rows, 5, tokenizer, seed=1)
    assert excerpts(rows, 5, tokenizer, seed=1) != excerpts(rows, 5, tokenizer, seed=2)
    assert excerpts(rows, 0, tokenizer, seed=1) == []


@given(ids=st.lists(st.integers(0, 5), max_size=40))
def test_sentences_are_the_text_in_pieces(ids: list[int]) -> None:
    pieces = list(sentences(ids, {0, 1}))
    assert [token for piece in pieces for token in piece] == ids
    assert all(piece and piece[-1] in {0, 1} for piece in pieces[:-1])


@pytest.mark.parametrize(
    ("weight", "least", "most"), [(1, 1, 1), (2, 2, 2), (2.5, 2, 3), (0.3, 0, 1)]
)
def test_repeat_draws_each_as_often_as_its_weight(weight: float, least: int, most: int) -> None:
    drawn = repeat(10, weight, random.Random(1))
    times = [drawn.count(position) for position in range(10)]
    assert len(drawn) == 10 * weight
    assert (min(times), max(times)) == (least, most)


@given(
    lengths=st.lists(st.integers(1, 50), max_size=60),
    max_tokens=st.integers(1, 200),
    max_rows=st.integers(1, 8),
    seed=st.integers(0, 9),
)
def test_batches_hold_every_position_once_and_keep_their_bounds(
    lengths: list[int], max_tokens: int, max_rows: int, seed: int
) -> None:
    order = range(len(lengths))
    made = batches(lengths, order, max_tokens, max_rows, random.Random(seed))
    assert sorted(position for batch in made for position in batch) == list(order)
    for batch in made:
        padded = len(batch) * max(lengths[position] for position in batch)
        assert 1 <= len(batch) <= max_rows
        assert len(batch) == 1 or padded <= max_tokens


def test_thinned_copies_lack_whole_sentences_of_long_texts(tokenizer: Tokenizer) -> None:
    (stop,) = tokenizer.known(["."])
    pieces = [[6 + number % 20] * 9 + [stop] for number in range(12)]
    long = Example([2, *(token for piece in pieces for token in piece), 3], 1)
    thinned = thin([Example([2, 7, 3], 0), long], 30, tokenizer, seed=1)
    assert len(thinned) == 30
    counts = []
    for example in thinned:
        assert (example.ids[0], example.ids[-1]) == (2, 3)
        kept = list(sentences(example.ids[1:-1], {stop}))
        order = iter(pieces)
        assert all(piece in order for piece in kept)  # in their order, each whole
        counts.append(len(kept))
    assert sum(counts) / len(counts) == pytest.approx(8, abs=1)
    assert thin([long], 30, tokenizer, seed=1) == thinned
    assert thin([long], 0, tokenizer, seed=1) == []


def test_a_long_text_of_one_sentence_is_never_thinned_to_nothing(tokenizer: Tokenizer) -> None:
    long = Example([2] + [7] * 80 + [3], 1)
    assert thin([long], 20, tokenizer, seed=1) == [long] * 20

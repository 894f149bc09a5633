"""What clients are given to send."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.batching import LONGEST_SHORT
from bench.workloads import REQUESTS, WORKLOADS, body, flat, make_texts, read_texts, requests
from cli.common import WEIGHTS
from models.tokenizer import Tokenizer

TEXTS = {"short": ["one", "two"], "long": ["three " * 100]}


def test_texts_of_files_are_told_apart_by_their_tokens(weights: Path, tmp_path: Path) -> None:
    data = tmp_path / "reviews.tsv"
    data.write_text(f"sentence\tlabel\nthe film\t1\n{'dull ' * 100}\t0\n", encoding="utf-8")
    texts = read_texts([str(data)], Tokenizer.load(weights / "wordpiece"), 1)
    assert texts == {"short": ["the film"], "long": [("dull " * 100)]}


def test_made_texts_are_as_long_as_they_are_said_to_be() -> None:
    tokenizer = Tokenizer.load(WEIGHTS / "wordpiece")
    made = make_texts(1)
    for kind, texts in made.items():
        lengths = [len(tokens.ids) for tokens in tokenizer.encode(texts)]
        assert all((length <= LONGEST_SHORT) is (kind == "short") for length in lengths)
    assert made == make_texts(1) != make_texts(2)


@pytest.mark.parametrize("name", WORKLOADS)
def test_requests_are_of_the_workloads_kinds(name: str) -> None:
    workload = WORKLOADS[name]
    asked = requests(workload, TEXTS, 1)
    assert {len(texts) for _, texts in asked} == {workload.texts}
    assert set(flat(asked)) == {text for kind in workload.kinds for text in TEXTS[kind]}
    if workload.texts == 1:
        kinds = [kind for kind, _ in asked]
        assert {kind: kinds.count(kind) for kind in kinds} == dict.fromkeys(
            workload.kinds, REQUESTS
        )


def test_list_in_two_kinds_holds_as_many_of_each() -> None:
    for _, texts in requests(WORKLOADS["mixed-lists"], TEXTS, 1):
        assert sum(text in TEXTS["long"] for text in texts) == 16


def test_kind_without_texts_is_refused() -> None:
    with pytest.raises(ValueError, match="no long texts"):
        requests(WORKLOADS["mixed"], {"short": ["one"]}, 1)


def test_body_is_a_text_or_a_list() -> None:
    assert json.loads(body(["a film"])) == {"inputs": "a film"}
    assert json.loads(body(["a", "b"])) == {"inputs": ["a", "b"]}

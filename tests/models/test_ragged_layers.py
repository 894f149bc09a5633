"""A recurrence reads ids to logits, longest text first, as it does by torch's calls."""

from __future__ import annotations

import copy
import math
from array import array
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from torch import Tensor

from models import native
from models.base import Classifier
from models.embedding import FrozenEmbedding
from models.errors import InputError
from models.line import Line, starts
from models.native import Way
from models.pooling import POOLINGS
from models.predict import pad, run
from models.ragged_layers import by_length
from models.registry import ARCHITECTURES, build

pytestmark = pytest.mark.usefixtures("way")

NAMES = ("rnn", "gru", "lstm", "bilstm")
TEXTS = ((1,), (5, 5, 5), (2, 9, 1, 9, 4), (1, 30, 2), tuple(range(1, 20)))
V = 50


def make(name: str, E: int = 48, D: int = 80, **config: Any) -> Classifier:
    """In bfloat16, with an embedding that isn't."""
    sizes: dict[str, Any] = {"input_size": E, "hidden_size": D, **config}
    made = ARCHITECTURES[name].config(**sizes)
    classifier = build(name, made, FrozenEmbedding.random(V, E)).eval()
    with torch.no_grad():
        for parameter in classifier.parameters():
            parameter.mul_(3)  # so that states tell
    return classifier.cast(torch.bfloat16)


def packed(classifier: Classifier) -> Classifier:
    return copy.deepcopy(classifier).pack()


def texts(lengths: tuple[int, ...]) -> list[list[int]]:
    return [torch.randint(V, (length,)).tolist() for length in lengths]


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("name", NAMES)
def test_logits_are_what_torchs_calls_make_around_the_layers(name: str, pooling: str) -> None:
    ours = packed(make(name, pooling=pooling))
    assert ours.reader is not None
    for lengths in TEXTS:
        read = texts(lengths)
        found = torch.tensor(ours.reader(Line.of(read)))
        expected = torch.tensor(run(ours, pad(ours, read)))
        torch.testing.assert_close(found, expected, rtol=0.01, atol=0.03)


@pytest.mark.parametrize("D", [16, 32, 48, 64, 112, 144])
def test_every_width_is_pooled(D: int) -> None:
    classifier = make("lstm", D=D)
    ours, read = packed(classifier), texts((3, 8))
    assert ours.reader is not None
    expected = torch.tensor(run(classifier, pad(classifier, read)))
    torch.testing.assert_close(
        torch.tensor(ours.reader(Line.of(read))), expected, rtol=0.03, atol=0.05
    )


@pytest.mark.parametrize("name", NAMES)
def test_text_has_the_same_logits_in_any_batch_by_any_threads(name: str, threads: int) -> None:
    ours = packed(make(name))
    assert ours.reader is not None
    read = texts((2, 40, 7, 40, 1, 13, 26, 9, 17, 5))
    torch.set_num_threads(1)
    alone = [ours.reader(Line.of([text]))[0] for text in read]
    for some in (1, 2, 5):
        torch.set_num_threads(some)
        assert ours.reader(Line.of(read)) == alone


def test_ids_that_the_table_lacks_are_told() -> None:
    ours = packed(make("gru"))
    assert ours.reader is not None
    for wrong in (-1, V):
        with pytest.raises(InputError, match=f"the vocabulary has {V}"):
            ours.reader(Line.of([[1, 2], [3, wrong]]))


def test_embeddings_of_other_widths_stay_with_torch() -> None:
    classifier = make("lstm", E=40)
    ours, read = packed(classifier), texts((3, 8))
    assert ours.reader is None
    expected = torch.tensor(run(classifier, pad(classifier, read)))
    torch.testing.assert_close(
        torch.tensor(run(ours, pad(ours, read))), expected, rtol=0.03, atol=0.05
    )


@pytest.mark.parametrize("name", NAMES)
def test_what_lies_in_memory_is_never_read(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ours, line = packed(make(name)), Line.of(texts((4, 17, 1, 9)))
    assert ours.reader is not None
    expected = ours.reader(line)

    def filled(*shape: int, dtype: torch.dtype) -> Tensor:
        return torch.full(shape, math.nan, dtype=dtype)

    def filled_like(tensor: Tensor, *shape: int, dtype: torch.dtype | None = None) -> Tensor:
        return filled(*shape, dtype=dtype or tensor.dtype)

    monkeypatch.setattr(torch, "empty", filled)
    monkeypatch.setattr(Tensor, "new_empty", filled_like)
    assert ours.reader(line) == expected


@pytest.mark.parametrize("name", NAMES)
def test_what_isnt_a_number_fills_its_text_and_no_other(name: str, way: Way) -> None:
    if way is Way.TILES:
        pytest.skip("a tile of states may reach into the next text's (steps.c)")
    classifier = make(name)
    classifier.embedding.weight[7] = math.nan
    ours = packed(classifier)
    assert ours.reader is not None
    read = [[8] * 5, [8, 7, 8, 8, 8], [8] * 4, [7], [8] * 3]
    found = ours.reader(Line.of(read))
    for text, logits in zip(read, found, strict=True):
        assert all(math.isnan(logit) == (7 in text) for logit in logits)


def test_calls_of_several_threads_do_not_meet() -> None:
    ours = packed(make("lstm"))
    assert ours.reader is not None
    lines = [Line.of(texts((length, 3, 11))) for length in range(1, 30)]
    expected = [ours.reader(line) for line in lines]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(ours.reader, lines * 4)) == expected * 4


def test_with_dot_products_alone_steps_are_native_and_the_rest_is_torchs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    classifier, read = make("gru"), texts((3, 8, 5))
    expected = torch.tensor(run(classifier, pad(classifier, read)))
    monkeypatch.setattr(native, "encodes", lambda: False)
    ours = packed(classifier)
    assert not ours.encoder.pads
    assert ours.reader is None
    found = torch.tensor(run(ours, pad(ours, read)))
    torch.testing.assert_close(found, expected, rtol=0.03, atol=0.05)


def test_texts_go_by_length() -> None:
    order, rows = by_length(starts([2, 5, 1, 5]))
    assert sorted(order[:2]) == [1, 3]
    assert list(order[2:]) == [0, 2]
    assert rows == array("i", [4, 3, 2, 2, 2])

"""A recurrence's steps in one native call are its formulas, whatever the texts."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from models import native, recurrence, steps
from models.base import Classifier
from models.embedding import FrozenEmbedding
from models.native import Way
from models.ragged import Ragged
from models.registry import ARCHITECTURES, build
from models.steps import Cell
from tests.models.native import WAYS, need_way
from tests.models.test_recurrences import elman, gru, layer_weights, lstm, walk

KINDS: list[tuple[Any, Any]] = [
    (recurrence.RNN, elman),
    (recurrence.GRU, gru),
    (recurrence.LSTM, lstm),
]
# Three strips of units, or one of the RNN's and less; the last tile of inputs is half full.
E, D = 24, 48
BATCHES = [
    (1,),
    (9, 9),
    (7, 1, 4),
    tuple(range(1, 17)),  # as many texts as a tile has rows, fewer at each step
    tuple(range(20, 0, -1)),  # more
    tuple(3 + index % 11 for index in range(41)),  # more than two tiles
]
CLOSE = 0.02  # bfloat16 rounds W x + b, up to some 4 here, by 0.008, and each state by 0.002


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def one_thread(threads: int) -> None:
    """Or a batch would be parted, and none be as large as it says."""
    torch.set_num_threads(1)


@pytest.fixture(params=WAYS, ids=lambda way: way.name.lower())
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Each way that this processor has, as if it were the fastest."""
    need_way(request.param)
    monkeypatch.setattr(native, "way", lambda: request.param)
    return request.param


def rounded(module: Any) -> Any:
    """Weights that bfloat16 holds, and large enough to matter."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_((parameter * 2).bfloat16())
    return module


def texts(lengths: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Embeddings, noise at the padding too, and their mask."""
    embeddings = torch.randn(len(lengths), max(lengths) + 2, E).bfloat16()
    return embeddings, torch.arange(max(lengths) + 2) < torch.tensor(lengths).unsqueeze(1)


def packed_of(module: Any) -> Any:
    packed = copy.deepcopy(module).bfloat16()
    packed.pack()
    assert packed.is_native
    return packed


@pytest.mark.parametrize("lengths", BATCHES, ids=lambda lengths: f"{len(lengths)} texts")
@pytest.mark.parametrize(("kind", "cell"), KINDS)
@torch.inference_mode()
def test_states_are_those_of_the_formulas(
    kind: Any, cell: Any, lengths: tuple[int, ...], way: Way
) -> None:
    module = rounded(kind(E, D, 2, batch_first=True))
    embeddings, mask = texts(lengths)
    states = packed_of(module).read(embeddings, mask).float()
    assert states.shape == (*mask.shape, D)
    for row, length in enumerate(lengths):
        expected = embeddings[row, :length].double().numpy()
        for layer in range(2):
            expected = walk(cell, expected, layer_weights(module, layer))
        np.testing.assert_allclose(states[row, :length], expected, rtol=0, atol=CLOSE)
        assert not states[row, length:].any()


@pytest.mark.parametrize("lengths", BATCHES, ids=lambda lengths: f"{len(lengths)} texts")
@pytest.mark.parametrize(("kind", "cell"), KINDS)
@torch.inference_mode()
def test_backward_starts_at_each_texts_last_token(
    kind: Any, cell: Any, lengths: tuple[int, ...], way: Way
) -> None:
    module = rounded(kind(E, D, batch_first=True))
    embeddings, mask = texts(lengths)
    ragged = Ragged.of(embeddings, mask)
    tokens = packed_of(module).native(ragged.tokens, ragged.rows, backward=True)
    states = ragged.with_tokens(tokens).padded().float()
    for row, length in enumerate(lengths):
        inputs = embeddings[row, :length].double().numpy()
        expected = walk(cell, inputs[::-1], layer_weights(module, 0))[::-1]
        np.testing.assert_allclose(states[row, :length], expected, rtol=0, atol=CLOSE)


@pytest.mark.parametrize("backward", [False, True], ids=["forward", "backward"])
@pytest.mark.parametrize(("kind", "cell"), KINDS)
@torch.inference_mode()
def test_threads_change_no_bit(kind: Any, cell: Any, backward: bool, way: Way) -> None:
    packed = packed_of(rounded(kind(E, 400, batch_first=True)))
    ragged = Ragged.of(*texts(tuple(40 + index % 50 for index in range(70))))
    alone = packed.native(ragged.tokens, ragged.rows, backward=backward)
    for count in (2, 3, 4):  # 70 texts are worth nine
        torch.set_num_threads(count)
        for _ in range(3):  # so that they overlap
            assert torch.equal(packed.native(ragged.tokens, ragged.rows, backward=backward), alone)


@torch.inference_mode()
def test_fewer_texts_than_threads_start_no_thread_anew(way: Way) -> None:
    packed = packed_of(rounded(recurrence.LSTM(E, D, batch_first=True)))
    torch.set_num_threads(4)
    batches = [texts((5,) * count) for count in (8, 16, 24, 32)]
    for batch in batches:
        packed.read(*batch)
    before = set(Path("/proc/self/task").iterdir())
    for batch in batches * 10:
        packed.read(*batch)
        torch.randn(400, 400) @ torch.randn(400, 400)  # torch's own, by all four
    assert set(Path("/proc/self/task").iterdir()) <= before


@pytest.mark.parametrize(("kind", "cell"), KINDS)
@torch.inference_mode()
def test_no_text_changes_another_by_a_bit(kind: Any, cell: Any, way: Way) -> None:
    packed = packed_of(rounded(kind(E, D, batch_first=True)))
    embeddings, mask = texts((9, 30, 4, 30, 17))
    other = embeddings.clone()
    other[1] = torch.randn(other[1].shape).bfloat16()
    one, two = packed.read(embeddings, mask), packed.read(other, mask)
    assert not torch.equal(one[1], two[1])
    assert torch.equal(one[[0, 2, 3, 4]], two[[0, 2, 3, 4]])


@torch.inference_mode()
def test_a_memory_lasts_as_long_as_its_gate_says(way: Way) -> None:
    """c is multiplied by sigmoid(f) at every step: off by 6e-5, it would be 11% after 2,000."""
    module = recurrence.LSTM(E, D, batch_first=True)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.zero_()
        bias = module.get_parameter("bias_ih_l0").view(4, D)
        bias[1] = 9.0  # f forgets a part in 8,000
        bias[3] = 9.0
        weights = module.get_parameter("weight_ih_l0").view(4, D, E)
        weights[0::2, :, 0] = 4.0  # the first token opens i, with g
    T = 2000
    embeddings = torch.zeros(1, T, E).bfloat16()
    embeddings[0, 0, 0] = 1.0
    states = packed_of(module).read(embeddings, torch.ones(1, T, dtype=torch.bool))[0, -1].float()
    expected = module(embeddings.float())[0][0, -1]
    torch.testing.assert_close(states, expected, rtol=0.006, atol=0)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("cell", Cell)
@torch.inference_mode()
def test_what_isnt_a_number_stays_none_and_what_is_too_large_saturates(
    cell: Cell, value: float, way: Way
) -> None:
    U = torch.randn(cell.gates * D, D).bfloat16()
    weights = steps.lay_out(cell, U, torch.zeros(D))
    driven = torch.full((3, cell.gates * D), value).bfloat16()  # a text of three tokens
    states = steps.run_layer(driven, torch.ones(3, dtype=torch.int32), weights)
    if math.isnan(value):
        assert states.isnan().all()
        return
    module = KINDS[cell][0](1, D, batch_first=True)  # in whose gates the value is b
    for name, parameter in module.named_parameters():
        parameter.fill_(value if name == "bias_ih_l0" else 0.0)
    module.get_parameter("weight_hh_l0").copy_(U)
    expected = module(torch.zeros(1, 3, 1))[0][0]
    torch.testing.assert_close(states.float(), expected, rtol=0, atol=0.004)


@pytest.mark.parametrize("name", ["rnn", "gru", "lstm", "bilstm"])
@torch.inference_mode()
def test_classifier_computes_no_padding_and_answers_as_before(name: str, way: Way) -> None:
    sizes: dict[str, Any] = {"input_size": E, "hidden_size": D}
    config = ARCHITECTURES[name].config(**sizes)
    classifier = build(name, config, FrozenEmbedding.random(100, E)).eval()
    rounded(classifier.encoder)
    packed = copy.deepcopy(classifier).cast(torch.bfloat16).pack()
    lengths = (11, 1, 7, 4)
    assert (classifier.encoder.pads, packed.encoder.pads) == (True, False)
    assert classifier.computed_tokens(lengths) == 44
    assert packed.computed_tokens(lengths) == 23
    input_ids = torch.randint(100, (4, 11))
    mask = torch.arange(11) < torch.tensor(lengths).unsqueeze(1)
    expected = _summary(classifier.cast(torch.bfloat16), input_ids, mask)
    torch.testing.assert_close(_summary(packed, input_ids, mask), expected, rtol=0, atol=3 * CLOSE)


def _summary(classifier: Classifier, input_ids: Tensor, mask: Tensor) -> Tensor:
    return classifier.summarize(input_ids, mask).float()


@pytest.mark.parametrize(
    ("width", "dtype"), [(40, torch.bfloat16), (48, torch.float32)], ids=["width", "float32"]
)
@torch.inference_mode()
def test_other_widths_and_formats_stay_with_torch(width: int, dtype: torch.dtype, way: Way) -> None:
    module = recurrence.LSTM(E, width, batch_first=True).to(dtype)
    module.pack()
    assert not module.is_native
    module.read(torch.randn(2, 3, E).to(dtype), torch.ones(2, 3, dtype=torch.bool))


@torch.inference_mode()
def test_without_the_library_torchs_calls_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "way", lambda: Way.NONE)
    module = recurrence.LSTM(E, D, batch_first=True).bfloat16()
    embeddings, mask = texts((4, 6))
    expected = module(embeddings)[0]
    module.pack()
    assert not module.is_native
    torch.testing.assert_close(module.read(embeddings, mask), expected, rtol=0, atol=CLOSE)

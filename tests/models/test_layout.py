"""A batch laid out in rows gives what each of its texts gives alone."""

from __future__ import annotations

from itertools import accumulate, chain

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from models.arrangement import EVEN, SHARED_UP_TO, WIDTHS, arrange, best_fit
from models.base import Encoder
from models.errors import InputError
from models.layout import Layout
from models.line import Line
from models.mpnet import MPNetConfig, MPNetEncoder
from models.rotation import angles, waves
from models.rows import PART, usual
from tests.models.test_contract import ATOL, RTOL, batch, logits, make

ATTENDING = ("minilm", "transformer")
MIXED = (150, 3, 40, 17, 129, 64, 22, 150)

some_lengths = st.lists(st.integers(1, 512), min_size=1, max_size=40).map(tuple)


def masked(*lengths: int) -> Tensor:
    return torch.arange(max(lengths)) < torch.tensor(lengths).unsqueeze(1)


@given(some_lengths)
def test_every_text_stands_in_one_row_that_holds_it(lengths: tuple[int, ...]) -> None:
    blocks = arrange(lengths, max(lengths))
    if blocks is None:
        return
    rows = [(block.length, row) for block in blocks for row in block.rows]
    assert sorted(chain.from_iterable(row for _, row in rows)) == list(range(len(lengths)))
    for length, row in rows:
        assert sum(lengths[text] for text in row) <= length
        assert length % EVEN == 0
        assert len(row) == 1 or length in WIDTHS
    places = sum(length for length, _ in rows)
    assert places <= 1.25 * len(lengths) * max(lengths)


@given(st.lists(st.integers(1, 64), min_size=1, max_size=60), st.integers(64, 256))
def test_no_two_rows_would_fit_in_one(lengths: list[int], width: int) -> None:
    rows = best_fit(lengths, range(len(lengths)), width)
    filled = sorted(sum(lengths[text] for text in row) for row in rows)
    assert filled[-1] <= width
    assert len(filled) < 2 or filled[0] + filled[1] > width


@pytest.mark.parametrize("lengths", [(16, 16), (32,) * 8, (512,), (5,), (17,), (11, 11, 11)])
def test_batch_without_padding_is_left_as_it_came(lengths: tuple[int, ...]) -> None:
    assert arrange(lengths, max(lengths)) is None


def test_long_text_has_a_row_of_about_its_length_and_short_ones_share() -> None:
    blocks = arrange(MIXED, 150)
    assert blocks is not None
    of_text = {tuple(row): block.length for block in blocks for row in block.rows}
    assert of_text[0,] == of_text[7,] == 160
    assert of_text[4,] == 144
    shared = [row for row in of_text if len(row) > 1]
    assert set(chain.from_iterable(shared)) == {1, 2, 3, 5, 6}
    assert all(MIXED[text] <= SHARED_UP_TO for row in shared for text in row)


def test_rows_are_of_few_lengths() -> None:
    """torch keeps code for each."""
    found = {
        block.length
        for length in range(1, 513)
        for lengths in ((length,), (length, length // 2 + 1))
        for block in arrange(lengths, max(lengths)) or ()
    }
    assert len(found) <= 512 // EVEN


@pytest.mark.parametrize("lengths", [MIXED, (5, 2), (30, 28, 3), (200, 100), (20, 20, 20), (7,)])
@torch.inference_mode()
def test_what_is_gathered_is_spread_again(lengths: tuple[int, ...]) -> None:
    mask = masked(*lengths)
    laid_out = Layout.of(mask)
    hidden_states = torch.randn(*mask.shape, 3)
    states = laid_out.gather(hidden_states)
    assert states.shape == (usual(len(states)), 3)
    assert torch.equal(laid_out.spread(states)[mask], hidden_states[mask])


@given(st.lists(st.integers(1, 40), min_size=1, max_size=12).map(tuple))
def test_a_line_is_of_the_texts_alone(lengths: tuple[int, ...]) -> None:
    texts = [[text] * length for text, length in enumerate(lengths)]
    line = Line.of(texts)
    assert line.ids.tolist() == [*chain.from_iterable(texts)]
    assert line.starts.tolist() == [0, *accumulate(lengths)]
    assert (line.texts, line.longest) == (len(lengths), max(lengths))


@pytest.mark.parametrize("texts", [[], [[1], []]])
def test_a_text_in_a_line_has_tokens(texts: list[list[int]]) -> None:
    with pytest.raises(InputError):
        Line.of(texts)


@pytest.mark.parametrize("lengths", [MIXED, (20, 20)])
@torch.inference_mode()
def test_places_are_turned_as_their_positions_are(lengths: tuple[int, ...]) -> None:
    mask = masked(*lengths)
    laid_out = Layout.of(mask)
    turned = angles(mask.shape[1], 8, mask.device)
    for wave, of_place in zip(waves(turned), laid_out.rotation(turned, torch.float32), strict=True):
        assert of_place.shape[1:] == (1, 1, 8)
        found = laid_out.spread(of_place.flatten(1))[mask]
        expected = torch.cat((wave, wave), 1).expand(len(lengths), -1, -1)[mask]
        assert torch.equal(found, expected)


def small_mpnet() -> MPNetEncoder:
    config = MPNetConfig(input_size=32, num_layers=2, num_heads=2, d_ff=48, max_length=160)
    return MPNetEncoder(config).eval()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", [*ATTENDING, "mpnet"])
@torch.inference_mode()
def test_text_reads_itself_alone(name: str, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    encoder = small_mpnet() if name == "mpnet" else make(name).encoder
    encoder = encoder.to(dtype)
    mask = masked(*MIXED)
    embeddings = torch.randn(*mask.shape, 32 if name == "mpnet" else 384).to(dtype)
    together = encoder(embeddings, mask)
    other = torch.where(mask[:, :, None], embeddings, torch.randn_like(embeddings))
    other[2] = torch.randn_like(other[2])  # it shares a row with others
    changed = encoder(other, mask)
    rtol, atol = (RTOL, ATOL) if dtype is torch.float32 else (0.1, 0.1)
    for text, length in enumerate(MIXED):
        same = torch.equal(together[text, :length], changed[text, :length])
        assert same is (text != 2)
        alone = encoder(embeddings[text : text + 1, :length], mask[text : text + 1, :length])
        torch.testing.assert_close(together[text, :length], alone[0], rtol=rtol, atol=atol)


@pytest.mark.parametrize("name", ATTENDING)
def test_rows_change_no_answer(name: str) -> None:
    torch.manual_seed(0)
    classifier = make(name)
    laid_out = logits(classifier, *batch(MIXED))
    classifier.encoder.share_rows = False
    as_it_came = logits(classifier, *batch(MIXED))
    torch.testing.assert_close(laid_out, as_it_came, rtol=RTOL, atol=ATOL)


@pytest.mark.parametrize("name", ATTENDING)
@pytest.mark.parametrize("lengths", [MIXED, (11, 1, 7, 4), (40,) * 3, (9,)])
def test_layers_compute_what_is_told(name: str, lengths: tuple[int, ...]) -> None:
    classifier = make(name)
    seen: list[tuple[int, ...]] = []
    layer = classifier.get_submodule("encoder.blocks.0.query_key_value")
    layer.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].shape[:-1]))
    told = classifier.computed_tokens(lengths)
    longest = classifier.usual_length(max(lengths))
    assert sum(lengths) <= told <= 1.25 * len(lengths) * longest
    input_ids, mask = batch((*lengths, longest))  # as ``place`` pads it
    logits(classifier, input_ids[:-1], mask[:-1])
    classifier.encoder.share_rows = False
    logits(classifier, input_ids[:-1], mask[:-1])
    assert seen == [(usual(told),), (usual(len(lengths) * longest),)]
    assert classifier.computed_tokens(lengths) == len(lengths) * longest


@pytest.mark.parametrize("name", ATTENDING)
def test_what_follows_attention_is_run_in_parts(name: str, threads: int) -> None:
    torch.manual_seed(0)
    classifier = make(name)
    seen: list[int] = []
    layer = classifier.get_submodule("encoder.blocks.0.contract")
    layer.register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))
    torch.set_num_threads(1)
    parted = logits(classifier, *batch((40,) * 30))
    torch.set_num_threads(3)
    whole = logits(classifier, *batch((40,) * 30))
    tokens = usual(classifier.computed_tokens((40,) * 30))
    assert seen == [PART, PART, tokens - 2 * PART, tokens]
    torch.testing.assert_close(parted, whole, rtol=RTOL, atol=ATOL)


def test_other_models_compute_their_padding() -> None:
    assert make("lstm").computed_tokens((5, 20, 11)) == 60
    assert not Encoder.share_rows


def test_batch_is_read_as_it_came_in_training() -> None:
    laid_out = Layout.of(masked(5, 2))
    hidden_states = torch.randn(2, 5, 3)
    assert laid_out.gather(hidden_states) is laid_out.spread(hidden_states) is hidden_states
    (bias,) = laid_out.biases(torch.float32)
    assert bias is not None
    assert bias.shape == (2, 1, 1, 5)
    assert bias.dtype is torch.bool

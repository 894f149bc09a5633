"""A Transformer's encoder in one native call is what torch's calls make of it."""

from __future__ import annotations

import copy
import math
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from models import native, predict, registry, stack
from models.attending import AttendingEncoder
from models.embedding import FrozenEmbedding
from models.errors import InputError
from models.line import Line
from models.minilm import MiniLMConfig, MiniLMEncoder
from models.native import Way
from models.packed import Linear
from models.pooling import POOLINGS, Pooling, pooled_size
from models.predict import collate
from models.reader import Reader
from models.shared_weights import SharedWeights
from models.transformer import TransformerConfig, TransformerEncoder

pytestmark = pytest.mark.usefixtures("way")

# Around what a product (16 and 32 rows) and attention (32 queries, 128 keys) read at a time.
LENGTHS = (1, 2, 15, 16, 17, 31, 32, 33, 47, 48, 49, 64, 65, 100, 127, 128, 129, 255, 300, 512)
KINDS = ("transformer", "minilm")


def make(
    kind: str, width: int = 64, heads: int = 2, d_ff: int = 96, layers: int = 3
) -> AttendingEncoder:
    """In bfloat16, with weights, biases and norms that all tell."""
    encoder: AttendingEncoder
    if kind == "minilm":
        encoder = MiniLMEncoder(
            MiniLMConfig(input_size=width, num_heads=heads, d_ff=d_ff, num_layers=layers)
        )
    else:
        encoder = TransformerEncoder(
            TransformerConfig(
                input_size=width, d_model=width, num_heads=heads, d_ff=d_ff, num_layers=layers
            )
        )
    with torch.no_grad():
        for name, parameter in encoder.named_parameters():
            if parameter.ndim == 2:
                parameter.normal_(0, parameter.shape[1] ** -0.5)
            else:
                parameter.normal_("norm.weight" in name, 0.2)
    return encoder.bfloat16().eval()


def packed(encoder: AttendingEncoder) -> AttendingEncoder:
    ours = copy.deepcopy(encoder)
    ours.pack()
    assert ours.is_native
    return ours


def texts(lengths: tuple[int, ...], width: int = 64) -> tuple[Tensor, Tensor]:
    mask = torch.arange(max(lengths)) < torch.tensor(lengths).unsqueeze(1)
    return torch.randn(*mask.shape, width).bfloat16(), mask


@torch.inference_mode()
def run(encoder: AttendingEncoder, embeddings: Tensor, mask: Tensor) -> Tensor:
    """The states of real tokens, text after text, in float32."""
    states: Tensor = encoder(embeddings, mask)
    return states[mask].float()


def some_ids(lengths: Sequence[int], vocabulary: int = 50) -> list[list[int]]:
    return [torch.randint(vocabulary, (length,)).tolist() for length in lengths]


def reader(
    encoder: AttendingEncoder,
    pooling: Pooling = "mean_max",
    embedding: FrozenEmbedding | None = None,
    window: int | None = 512,
) -> Reader | None:
    """With a table of 50 words, and what was pooled for logits."""
    if embedding is None:
        generator = torch.Generator().manual_seed(0)
        embedding = FrozenEmbedding(torch.randn(50, 64, generator=generator).half())
    size = pooled_size(pooling, encoder.output_size)
    head = nn.Linear(size, size)
    with torch.no_grad():
        nn.init.eye_(head.weight)
        nn.init.zeros_(head.bias)
    return encoder.reader(embedding, pooling, head, window)


def read(encoder: AttendingEncoder, texts: list[list[int]]) -> list[list[float]]:
    ours = reader(encoder)
    assert ours is not None
    return ours(Line.of(texts))


def exactly(encoder: AttendingEncoder, embeddings: Tensor, mask: Tensor) -> Tensor:
    """By torch's calls, of the same numbers in float64."""
    return run(copy.deepcopy(encoder).double(), embeddings.double(), mask)


def off(found: Tensor, exact: Tensor) -> float:
    return (found - exact).square().mean().sqrt().item()


def in_each_block(encoder: AttendingEncoder, name: str) -> list[nn.Module]:
    blocks = encoder.get_submodule("blocks")
    return [block.get_submodule(name) for block in blocks.children()]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("width", "heads", "d_ff"),
    [(64, 2, 96), (256, 4, 704), (384, 12, 1536), (96, 1, 32), (256, 2, 1056), (256, 1, 64)],
)
def test_states_are_off_by_no_more_than_torchs(
    kind: str, width: int, heads: int, d_ff: int
) -> None:
    encoder = make(kind, width, heads, d_ff)
    batch = texts(LENGTHS, width)
    exact = exactly(encoder, *batch)
    found = run(packed(encoder), *batch)
    assert off(found, exact) < 1.1 * off(run(encoder, *batch), exact)
    torch.testing.assert_close(found, exact, rtol=0.05, atol=0.15)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("width", [64, 256])
def test_text_is_the_same_to_a_bit_in_any_batch(kind: str, width: int) -> None:
    encoder = packed(make(kind, width))
    embeddings, mask = texts(LENGTHS, width)
    together = torch.split(run(encoder, embeddings, mask), list(LENGTHS))
    for text, length in enumerate(LENGTHS):
        alone = run(encoder, embeddings[text : text + 1, :length], mask[text : text + 1, :length])
        assert torch.equal(together[text], alone)


@pytest.mark.parametrize("kind", KINDS)
def test_weights_may_lie_where_another_process_has_them(kind: str, tmp_path: Path) -> None:
    encoder, batch = make(kind, width=256), texts(LENGTHS, 256)
    alone = run(packed(encoder), *batch)
    for _ in range(2):
        sharing = copy.deepcopy(encoder)
        sharing.pack(SharedWeights(tmp_path))
        assert torch.equal(run(sharing, *batch), alone)
    assert list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", KINDS)
def test_logits_of_a_text_are_the_same_to_a_bit_in_any_batch(kind: str) -> None:
    encoder = packed(make(kind))
    ids = some_ids(LENGTHS)
    together = read(encoder, ids)
    assert together == [logits for text in ids for logits in read(encoder, [text])]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "lengths", [(5,), (40, 3), (100, 90, 17), (200,) * 2, (400, 300, 400), LENGTHS]
)
def test_threads_change_no_bit(kind: str, lengths: tuple[int, ...], threads: int) -> None:
    """Be it that they share the tokens, or the outputs of every product."""
    encoder = packed(make(kind, heads=1))
    embeddings, mask = texts(lengths)
    ids = some_ids(lengths)
    torch.set_num_threads(1)
    alone = run(encoder, embeddings, mask), read(encoder, ids)
    for count in (2, 3, 4, 7):
        torch.set_num_threads(count)
        for _ in range(3):  # so that they overlap
            assert torch.equal(run(encoder, embeddings, mask), alone[0])
            assert read(encoder, ids) == alone[1]


@pytest.mark.parametrize("longest", [300, 512])
def test_calls_of_several_threads_are_each_others_equal(longest: int) -> None:
    """The interpreter goes on meanwhile, and tells of positions may grow."""
    encoder = make("transformer")
    batches = [texts((40,) * 6), texts((longest,)), texts((150,) * 2)]
    expected = [run(packed(encoder), *batch) for batch in batches]
    with ThreadPoolExecutor(len(batches)) as pool:
        for _ in range(20):
            fresh = packed(encoder)
            found = pool.map(lambda batch, ours=fresh: run(ours, *batch), batches)
            assert all(map(torch.equal, found, expected))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("width", [96, 256])
@torch.inference_mode()
def test_ids_are_read_and_states_pooled_as_torch_does(
    kind: str, pooling: Pooling, dtype: torch.dtype, width: int
) -> None:
    encoder = packed(make(kind, width, heads=width // 32))
    embedding = FrozenEmbedding(torch.randn(50, width).to(dtype))
    ids = some_ids((40, 1, 130, 7, 64))
    ours = reader(encoder, pooling, embedding)
    if dtype is torch.bfloat16:
        assert ours is None
        return
    assert ours is not None
    found = ours(Line.of(ids))
    input_ids, mask = collate(ids)
    states = encoder(embedding(input_ids).bfloat16(), mask)
    expected = POOLINGS[pooling](states.double(), mask).float()
    torch.testing.assert_close(torch.tensor(found), expected, rtol=1e-5, atol=1e-6)
    for text, logits in zip(ids, found, strict=True):
        assert ours(Line.of([text])) == [logits]


def test_maximum_of_what_isnt_a_number_is_none(threads: int) -> None:
    encoder = packed(make("minilm"))
    embedding = FrozenEmbedding(torch.randn(50, 64))
    embedding.weight[7] = math.nan
    ids = [torch.randint(8, 50, (40,)).tolist() for _ in range(3)]
    ids[1][20] = 7
    ours = reader(encoder, "mean_max", embedding)
    assert ours is not None
    for count in (1, 2, 5):
        torch.set_num_threads(count)
        found = torch.tensor(ours(Line.of(ids)))
        assert found.isfinite().all(1).tolist() == [True, False, True]
        assert not found[1].isfinite().any()


@pytest.mark.parametrize("labels", [1, 2, 5])
@torch.inference_mode()
def test_logits_are_those_of_the_head(labels: int) -> None:
    encoder = packed(make("transformer"))
    embedding = FrozenEmbedding(torch.randn(50, 64))
    head = nn.Linear(64, labels)
    ours = encoder.reader(embedding, "mean", head, 512)
    pooled = reader(encoder, "mean", embedding)
    assert ours is not None
    assert pooled is not None
    line = Line.of(some_ids((3, 90, 17)))
    expected = head(torch.tensor(pooled(line)))
    torch.testing.assert_close(torch.tensor(ours(line)), expected, rtol=1e-5, atol=1e-6)


def test_what_a_table_and_a_window_hold_is_looked_at() -> None:
    ours = reader(packed(make("transformer")), window=9)
    assert ours is not None
    assert len(ours(Line.of([[0, 49], [5] * 9]))) == 2
    with pytest.raises(InputError, match="10 tokens; the encoder's window is 9"):
        ours(Line.of([[5] * 10]))
    for wrong in (-1, 50, 2**31 - 1):
        with pytest.raises(InputError, match=f"ids run from .*{wrong}.* the vocabulary has 50"):
            ours(Line.of([[3, 4], [5, wrong]]))


@torch.inference_mode()
def test_a_classifier_reads_ids_in_one_call_once_it_is_packed() -> None:
    config = TransformerConfig(input_size=64, d_model=64, num_heads=2, d_ff=96, num_layers=2)
    classifier = registry.build("transformer", config, FrozenEmbedding.random(50, 64)).eval()
    classifier.cast(torch.bfloat16)
    windows = some_ids((40, 3, 100))
    before = predict.run(classifier, predict.place(classifier, windows))
    classifier.pack()
    placed = predict.place(classifier, windows)
    assert isinstance(placed, Line)
    for batch in (placed, collate(windows)):
        found = predict.run(classifier, batch)
        torch.testing.assert_close(torch.tensor(found), torch.tensor(before), rtol=0.05, atol=0.05)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_isnt_a_number_fills_its_text_and_no_other(kind: str, value: float) -> None:
    lengths = (17, 140, 3, 64)
    encoder = packed(make(kind))
    embeddings, mask = texts(lengths)
    before = torch.split(run(encoder, embeddings, mask), list(lengths))
    embeddings[1, 139, 5] = value
    after = torch.split(run(encoder, embeddings, mask), list(lengths))
    for text in (0, 2, 3):
        assert torch.equal(before[text], after[text])
    assert not after[1].isfinite().any()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("times", [6.0, 20.0, 200.0])
def test_scores_may_be_large(kind: str, times: float) -> None:
    """The softmax of such is soon one word's, and no power leaves what a number can be."""
    encoder = make(kind, layers=1)
    for layer in in_each_block(encoder, "query_key_value"):
        assert isinstance(layer, Linear)
        with torch.no_grad():
            layer.weight[:128] *= times  # of queries and keys: scores are its square
    batch = texts((50, 400, 1, 129))
    exact = exactly(encoder, *batch)
    found, torchs = run(packed(encoder), *batch), run(encoder, *batch)
    # A score's rounding may let another word win, in torch's as in ours.
    assert off(found, exact) < 1.2 * off(torchs, exact)


@pytest.mark.parametrize("lift", [3.0, 3.1, 3.45, 3.6, 30.0, 300.0])  # 73, 78, 97, 106 octaves, …
@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize("values", [1.0, 1e9])
def test_scores_may_all_be_far_from_zero(lift: float, sign: int, values: float) -> None:
    """A softmax knows differences alone, and large values leave what a number can be no sooner."""
    encoder = make("minilm", layers=1)
    for layer in in_each_block(encoder, "query_key_value"):
        assert isinstance(layer, Linear)
        with torch.no_grad():
            layer.weight[:128] = 0.0
            layer.weight[128:] *= values
            layer.bias[:64] = lift
            layer.bias[64:128] = sign * lift
    batch = texts((50, 400))
    exact = exactly(encoder, *batch)
    torch.testing.assert_close(run(packed(encoder), *batch), exact, rtol=0.05, atol=0.1)


@torch.inference_mode()
def test_a_row_of_hardly_any_variance_is_normed() -> None:
    """MiniLM adds 1e-12 to a variance, which float32 may find below zero."""
    encoder = make("minilm", 384, heads=12)
    assert isinstance(encoder, MiniLMEncoder)
    encoder.positions.weight.zero_()
    embeddings = torch.linspace(-9, 9, 500).bfloat16()[:, None].repeat(1, 1, 384)
    embeddings[..., 5] *= 1 + 2**-7
    assert run(packed(encoder), embeddings, torch.ones(1, 500).bool()).isfinite().all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("lengths", [(33, 1, 18), (512,) * 2])
def test_what_lies_in_memory_is_never_read(
    kind: str, lengths: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a call works with holds whatever was there: not a number, here."""
    encoder = make(kind)
    batch, ids = texts(lengths), some_ids(lengths)
    expected = run(packed(encoder), *batch), read(packed(encoder), ids)
    fresh = packed(encoder), packed(encoder)

    ours = reader(fresh[1])
    assert ours is not None

    def filled(*shape: int, dtype: torch.dtype) -> Tensor:
        return torch.full(shape, math.nan if dtype.is_floating_point else 255, dtype=dtype)

    monkeypatch.setattr(torch, "empty", filled)
    assert torch.equal(run(fresh[0], *batch), expected[0])
    assert ours(Line.of(ids)) == expected[1]


def test_no_call_leaves_its_memory(way: Way) -> None:
    """Where it reads or writes past the end of any, the process that tries would be killed."""
    tried = [sys.executable, "-m", "tests.models.guarded", way.name]
    subprocess.run(tried, check=True, timeout=120)


def test_positions_are_told_as_texts_grow() -> None:
    encoder = make("transformer")
    ours = packed(encoder)
    for length in (3, 200, 40, 512):
        batch = texts((length,))
        exact = exactly(encoder, *batch)
        assert off(run(ours, *batch), exact) < 1.2 * off(run(encoder, *batch), exact)


def test_part_of_a_larger_tensor_is_read_where_it_is() -> None:
    encoder = packed(make("minilm"))
    embeddings, mask = texts((30, 30))
    wide = torch.cat((embeddings, torch.full_like(embeddings, math.nan)), -1)
    assert torch.equal(run(encoder, wide[..., :64], mask), run(encoder, embeddings, mask))


@pytest.mark.parametrize("kind", KINDS)
def test_weights_are_kept_once(kind: str) -> None:
    encoder = packed(make(kind))
    for module in encoder.modules():
        assert not isinstance(module, Linear) or module.weight.numel() == 0


@pytest.mark.parametrize("kind", KINDS)
def test_it_answers_and_does_nothing_else(kind: str) -> None:
    encoder = packed(make(kind))
    embeddings, mask = texts((5,))
    with pytest.raises(AssertionError, match="laid out"):
        encoder(embeddings, mask)  # for training


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "sizes", [{"width": 48, "heads": 1}, {"heads": 4}, {"d_ff": 80}, {"width": 512, "heads": 1}]
)
def test_other_sizes_stay_with_torch(kind: str, sizes: dict[str, int]) -> None:
    encoder = make(kind, **sizes)
    batch = texts((20, 7), sizes.get("width", 64))
    before = run(encoder, *batch)
    encoder.pack()
    assert not encoder.is_native
    torch.testing.assert_close(run(encoder, *batch), before, rtol=0.05, atol=0.1)


@pytest.mark.parametrize("kind", KINDS)
def test_other_formats_and_processors_stay_with_torch(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    single = make(kind).float()
    single.pack()
    assert not single.is_native
    elsewhere = make(kind).to("meta")
    parts = elsewhere.parts()
    assert parts is not None
    assert not stack.can_run(parts)
    monkeypatch.setattr(native, "encodes", lambda: False)
    halved = make(kind)
    halved.pack()
    assert not halved.is_native

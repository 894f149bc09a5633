"""Every architecture on a GPU, in its default size and with random weights, against the CPU."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor

from models.base import Classifier, Schedule
from models.captured import CapturedForward, capture_where_it_wins
from models.embedding import FrozenEmbedding
from models.predict import pad
from models.recurrence import BFLOAT16_CUDNN
from models.registry import ARCHITECTURES, build

pytestmark = pytest.mark.gpu

VOCAB_SIZE = 100
ORDERS = [
    (name, schedule)
    for name, architecture in sorted(ARCHITECTURES.items())
    for schedule in getattr(architecture.encoder, "schedules", ()) or (None,)
]
WINDOWS = [[7, 3, 9, 22, 41, 5, 63, 8, 17, 90, 2], [4], [6, 5, 4, 3, 2, 1, 0], [99, 98, 97, 96]]


def make(architecture: str) -> Classifier:
    torch.manual_seed(0)
    config = ARCHITECTURES[architecture].config(labels=("bad", "fair", "good"))
    return build(architecture, config, FrozenEmbedding.random(VOCAB_SIZE, config.input_size)).eval()


@torch.inference_mode()
def logits(
    classifier: Classifier,
    windows: list[list[int]] = WINDOWS,
    schedule: Schedule | None = None,
    padding: int = 0,
) -> Tensor:
    """On the host, in float32, with ``padding`` more columns than the batch needs."""
    input_ids, attention_mask = pad(classifier, windows)
    input_ids = torch.nn.functional.pad(input_ids, (0, padding), value=VOCAB_SIZE - 1)
    attention_mask = torch.nn.functional.pad(attention_mask, (0, padding))
    answer: Tensor = classifier(input_ids, attention_mask, schedule)
    return answer.float().cpu()


def elsewhere(classifier: Classifier, device: torch.device) -> Classifier:
    return copy.deepcopy(classifier).to(device)


@pytest.mark.usefixtures("every_digit")
@pytest.mark.parametrize(("architecture", "schedule"), ORDERS)
def test_logits_are_those_of_the_cpu(
    architecture: str, schedule: Schedule | None, gpu: torch.device
) -> None:
    classifier = make(architecture)
    expected = logits(classifier, schedule=schedule)
    answer = logits(elsewhere(classifier, gpu), schedule=schedule)
    torch.testing.assert_close(answer, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(("architecture", "schedule"), ORDERS)
def test_bfloat16_finds_the_same_labels(
    architecture: str, schedule: Schedule | None, gpu: torch.device
) -> None:
    classifier = make(architecture)
    generator = torch.Generator().manual_seed(1)
    windows = torch.randint(VOCAB_SIZE, (32, 24), generator=generator).tolist()
    expected = logits(classifier, windows, schedule)
    answer = logits(elsewhere(classifier, gpu).cast(torch.bfloat16), windows, schedule)
    torch.testing.assert_close(answer, expected, rtol=0.05, atol=0.05)
    first, second = expected.topk(2).values.unbind(1)
    settled = first - second > 0.1  # nearer ones may change places within the tolerance
    assert torch.equal(answer.argmax(1)[settled], expected.argmax(1)[settled])


@pytest.mark.usefixtures("every_digit")
@pytest.mark.parametrize("architecture", sorted(ARCHITECTURES))
def test_padding_changes_nothing(architecture: str, gpu: torch.device) -> None:
    classifier = make(architecture).to(gpu)
    bare, padded = logits(classifier), logits(classifier, padding=9)
    torch.testing.assert_close(padded, bare, rtol=1e-3, atol=1e-4)
    alone = torch.cat([logits(classifier, [window]) for window in WINDOWS])
    torch.testing.assert_close(alone, bare, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("architecture", ["mingru", "mamba"])
def test_schedules_agree(architecture: str, gpu: torch.device) -> None:
    classifier = make(architecture).to(gpu)
    one_by_one, as_a_scan = (
        logits(classifier, schedule=order) for order in classifier.encoder.schedules
    )
    torch.testing.assert_close(one_by_one, as_a_scan, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(("architecture", "schedule"), ORDERS)
def test_a_forward_never_waits_for_the_gpu(
    architecture: str, schedule: Schedule | None, gpu: torch.device
) -> None:
    classifier = make(architecture).to(gpu)
    input_ids, attention_mask = pad(classifier, WINDOWS)
    with torch.inference_mode():
        classifier(input_ids, attention_mask, schedule)  # the first may wait: it sets things up
        torch.cuda.set_sync_debug_mode("error")
        try:
            classifier(input_ids, attention_mask, schedule)
        finally:
            torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("architecture", ["rnn", "gru", "lstm", "bilstm"])
def test_weights_of_a_recurrence_are_one_chunk(
    architecture: str, dtype: torch.dtype, gpu: torch.device
) -> None:
    cudnn = torch.backends.cudnn.version()  # type: ignore[no-untyped-call]
    if dtype == torch.bfloat16 and cudnn < BFLOAT16_CUDNN:
        pytest.skip(f"cuDNN {cudnn} runs no recurrence in bfloat16")
    classifier = make(architecture).to(gpu).cast(dtype)
    recurrences = [m for m in classifier.modules() if isinstance(m, torch.nn.RNNBase)]
    assert recurrences
    for recurrence in recurrences:
        chunks = {weight.untyped_storage().data_ptr() for weight in recurrence.parameters()}
        assert len(chunks) == 1


@pytest.mark.usefixtures("every_digit")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("architecture", "schedule"), ORDERS)
def test_a_recorded_forward_gives_the_answer_of_an_eager_one(
    architecture: str, schedule: Schedule | None, dtype: torch.dtype, gpu: torch.device
) -> None:
    classifier = make(architecture).to(gpu).cast(dtype)
    captured = CapturedForward(classifier, schedule)
    for shape in ((4, 16), (1, 16), (4, 32)):
        captured.capture(shape)
    tolerance = 1e-3 if dtype == torch.float32 else 0.05  # another shape, another kernel
    # Each leaves something behind that the next must not read.
    for windows in (WINDOWS, WINDOWS[1:2], WINDOWS[::-1], [WINDOWS[0] * 2], WINDOWS[:3]):
        batch = pad(classifier, windows)
        with torch.inference_mode():
            eager = captured.eager(*batch).float().cpu()
        answer = torch.tensor(captured.run(*batch))
        torch.testing.assert_close(answer, eager, rtol=tolerance, atol=tolerance)


def test_a_batch_that_no_graph_holds_is_refused(gpu: torch.device) -> None:
    classifier = make("transformer").to(gpu)
    captured = CapturedForward(classifier)
    captured.capture((1, 16))
    captured.capture((1, 32))
    captured.drop((1, 16))
    assert captured.bucket(1, 20) == (1, 32)
    assert captured.bucket(2, 20) is None
    assert captured.bucket(1, 10) is None  # its own lost, and the next was never tried for it
    with pytest.raises(KeyError, match="1 x 10"):
        captured.run(*pad(classifier, [[5] * 10]))


def test_graphs_are_kept_for_some_batches_of_a_small_transformer(gpu: torch.device) -> None:
    captured = capture_where_it_wins(make("transformer").to(gpu).cast(torch.bfloat16))
    assert captured is not None
    assert captured.shapes

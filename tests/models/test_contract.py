"""What every registered architecture promises, over random weights and a random table."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from models.base import Classifier
from models.cost import count
from models.embedding import FrozenEmbedding
from models.errors import InputError
from models.registry import ARCHITECTURES, build

VOCAB_SIZE = 100
# Another batch takes another kernel, which adds in another order: float32 noise, 100 times smaller
# than the fourth decimal that a score is given with.
RTOL, ATOL = 1e-4, 1e-5


@pytest.fixture(scope="module", params=sorted(ARCHITECTURES))
def classifier(request: pytest.FixtureRequest) -> Classifier:
    torch.manual_seed(0)
    return make(request.param)


def make(architecture: str, labels: tuple[str, ...] = ("bad", "fair", "good")) -> Classifier:
    config = ARCHITECTURES[architecture].config(labels=labels)
    return build(architecture, config, FrozenEmbedding.random(VOCAB_SIZE, config.input_size)).eval()


def batch(lengths: tuple[int, ...] = (11, 1, 7, 4)) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    input_ids = torch.randint(VOCAB_SIZE, (len(lengths), max(lengths)), generator=generator)
    return input_ids, torch.arange(max(lengths)) < torch.tensor(lengths).unsqueeze(1)


@torch.inference_mode()
def logits(classifier: Classifier, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
    answer: Tensor = classifier(input_ids, attention_mask)
    return answer


def test_logits_are_one_row_a_text_and_one_column_a_label(classifier: Classifier) -> None:
    answer = logits(classifier, *batch())
    assert answer.shape == (4, 3)
    assert answer.dtype == torch.float32
    assert answer.isfinite().all()


def test_logits_are_bfloat16_after_a_cast(classifier: Classifier) -> None:
    state = {name: tensor.clone() for name, tensor in classifier.state_dict().items()}
    answer = logits(classifier.cast(torch.bfloat16), *batch())
    classifier.cast(torch.float32).load_state_dict(state)
    assert answer.dtype == torch.bfloat16
    torch.testing.assert_close(answer.float(), logits(classifier, *batch()), atol=0.05, rtol=0.05)


def test_batch_equals_its_singles(classifier: Classifier) -> None:
    input_ids, mask = batch()
    together = logits(classifier, input_ids, mask)
    for row, length in enumerate(mask.sum(1).tolist()):
        alone = logits(classifier, input_ids[row : row + 1, :length], mask[row : row + 1, :length])
        torch.testing.assert_close(together[row : row + 1], alone, rtol=RTOL, atol=ATOL)


def test_padding_changes_nothing(classifier: Classifier) -> None:
    input_ids, mask = batch()
    more = torch.full((4, 9), VOCAB_SIZE - 1)
    padded = logits(
        classifier,
        torch.cat((input_ids, more), 1),
        torch.cat((mask, more.new_zeros(4, 9).bool()), 1),
    )
    torch.testing.assert_close(padded, logits(classifier, input_ids, mask), rtol=RTOL, atol=ATOL)


def test_padding_may_be_any_id(classifier: Classifier) -> None:
    input_ids, mask = batch()
    other = torch.where(mask, input_ids, (input_ids + 17) % VOCAB_SIZE)
    assert torch.equal(logits(classifier, other, mask), logits(classifier, input_ids, mask))


def test_order_of_words_matters(classifier: Classifier) -> None:
    input_ids, mask = batch((6,))
    difference = logits(classifier, input_ids.flip(1), mask) - logits(classifier, input_ids, mask)
    assert difference.abs().max() > 1e-3


def test_answer_is_deterministic_in_eval(classifier: Classifier) -> None:
    assert torch.equal(logits(classifier, *batch()), logits(classifier, *batch()))


def test_state_dict_makes_the_same_model(classifier: Classifier) -> None:
    other = build(
        next(name for name, a in ARCHITECTURES.items() if a.config is type(classifier.config)),
        classifier.config,
        classifier.embedding,
    ).eval()
    other.load_state_dict(classifier.state_dict())
    assert torch.equal(logits(other, *batch()), logits(classifier, *batch()))


def test_state_dict_leaves_the_shared_table_out(classifier: Classifier) -> None:
    shapes = [tuple(tensor.shape) for tensor in classifier.state_dict().values()]
    assert (VOCAB_SIZE, classifier.config.input_size) not in shapes
    assert not any(p is classifier.embedding.weight for p in classifier.parameters())


def test_gradients_reach_every_parameter(classifier: Classifier) -> None:
    classifier(*batch()).square().sum().backward()
    without = [n for n, p in classifier.named_parameters() if p.grad is None]
    classifier.zero_grad()
    assert without == []


def test_config_survives_its_dict(classifier: Classifier) -> None:
    values = classifier.config.to_dict()
    again = type(classifier.config)(**values | {"labels": tuple(values["labels"])})
    assert again == classifier.config


def test_encoder_has_two_and_a_half_million_parameters(classifier: Classifier) -> None:
    parameters = count(classifier.encoder)
    if type(classifier.config) is ARCHITECTURES["minilm"].config:
        assert parameters > 10e6  # the one exception, which says so on its card
    else:
        assert parameters == pytest.approx(2.5e6, rel=0.05)


def test_empty_mask_is_refused(classifier: Classifier) -> None:
    input_ids, mask = batch()
    mask[2] = False
    with pytest.raises(InputError, match="no real token"):
        classifier(input_ids, mask)


def test_empty_batch_is_refused(classifier: Classifier) -> None:
    for shape in ((0, 5), (2, 0)):
        nothing = torch.zeros(shape, dtype=torch.int64)
        with pytest.raises(InputError, match="no real token"):
            classifier(nothing, nothing.bool())


@pytest.mark.parametrize("token_id", [-1, VOCAB_SIZE])
def test_id_out_of_range_is_refused(classifier: Classifier, token_id: int) -> None:
    input_ids, mask = batch()
    input_ids[1, 3] = token_id  # a padding position: a GPU would abort on it all the same
    with pytest.raises(InputError, match=f"{token_id}.*vocabulary has {VOCAB_SIZE}"):
        classifier(input_ids, mask)


def test_left_padding_is_refused(classifier: Classifier) -> None:
    input_ids, mask = batch()
    with pytest.raises(InputError, match="padded left"):
        classifier(input_ids, mask.flip(1))


def test_hole_in_the_mask_is_refused(classifier: Classifier) -> None:
    input_ids, mask = batch()
    mask[0, 5] = False
    with pytest.raises(InputError, match="first tokens"):
        classifier(input_ids, mask)


def test_length_past_the_window_is_refused(classifier: Classifier) -> None:
    window = classifier.config.max_length
    input_ids, mask = batch(((window or 1000) + 1,))
    if window is None:
        assert logits(classifier, input_ids, mask).isfinite().all()
    else:
        with pytest.raises(InputError, match=f"{window + 1} tokens; .* window is {window}"):
            classifier(input_ids, mask)


def test_unknown_schedule_is_refused(classifier: Classifier) -> None:
    with pytest.raises(InputError, match="no schedule 'sideways'"):
        classifier(*batch(), schedule="sideways")


def test_shapes_that_differ_are_refused(classifier: Classifier) -> None:
    input_ids, mask = batch()
    with pytest.raises(InputError, match=r"\(4, 11\) and \(4, 10\)"):
        classifier(input_ids, mask[:, 1:])


def test_wrong_dtypes_are_refused(classifier: Classifier) -> None:
    input_ids, mask = batch()
    for ids, attention_mask in ((input_ids.int(), mask), (input_ids, mask.long())):
        with pytest.raises(InputError, match="int64 and attention_mask bool"):
            classifier(ids, attention_mask)

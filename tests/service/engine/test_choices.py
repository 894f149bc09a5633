"""What form a model is served in, and with how many threads: whatever forwards were fastest."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from itertools import chain, repeat
from pathlib import Path

import pytest
import torch

from models import checkpoint
from models import folder as folders
from models.base import Classifier
from models.packed import Packable
from service.engine import choices
from service.engine.choices import choose_threads, runs_undivided, settle
from service.engine.compute import Compute
from tests.small import write_model

Form = tuple[str, bool]  # a dtype, and whether the weights are packed
PLAIN = {("float32", False): 4.0, ("bfloat16", False): 2.0}


@pytest.fixture
def classifier(weights: Path) -> Classifier:
    folder = write_model(weights)
    return checkpoint.load(folder, checkpoint.load_embedding(weights / folders.WORDPIECE))


def form(classifier: Classifier) -> Form:
    packed = classifier.encoder.get_parameter("lstm.weight_hh_l0").numel() == 0
    return str(classifier.head.weight.dtype).removeprefix("torch."), packed


def pretend(monkeypatch: pytest.MonkeyPatch, seconds: dict[Form, float]) -> list[Form]:
    """Forwards of a form take what is said; tells which were tried."""
    tried: list[Form] = []

    def taken(classifiers: Sequence[Classifier]) -> list[float]:
        tried.extend(map(form, classifiers))
        return [seconds[form(classifier)] for classifier in classifiers]

    monkeypatch.setattr(choices, "_seconds", taken)
    return tried


@pytest.mark.parametrize(
    ("float32", "bfloat16", "fastest"),
    [
        (3.0, 1.0, ("bfloat16", True)),
        (1.0, 1.0, ("float32", True)),
        (1.0, 0.95, ("float32", True)),  # too little for the digits that it costs
        (5.0, 2.5, ("bfloat16", False)),
        (5.0, 9.9, ("bfloat16", False)),  # whatever it would be packed
    ],
)
def test_fastest_form_is_served(
    classifier: Classifier,
    monkeypatch: pytest.MonkeyPatch,
    float32: float,
    bfloat16: float,
    fastest: Form,
) -> None:
    packed = {("float32", True): float32, ("bfloat16", True): bfloat16}
    tried = pretend(monkeypatch, PLAIN | packed)
    assert settle(classifier, "auto") == form(classifier) == fastest
    assert tried == [
        (dtype, packed) for dtype in ("float32", "bfloat16") for packed in (True, False)
    ]


def test_plain_float32_is_served_where_it_is_fastest(
    classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed = {("float32", True): 4.5, ("bfloat16", True): 4.6}
    pretend(monkeypatch, packed | {("float32", False): 4.0, ("bfloat16", False): 3.9})
    assert settle(classifier, "auto") == form(classifier) == ("float32", False)


def test_dtype_that_was_named_is_served(
    classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = pretend(monkeypatch, PLAIN | {("float32", True): 3.0, ("bfloat16", True): 1.0})
    assert settle(classifier, "float32") == form(classifier) == ("float32", True)
    assert "bfloat16" not in [dtype for dtype, _ in tried]


def test_processor_without_such_a_layout_serves_what_lies_there(
    classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(module: Packable) -> None:
        raise RuntimeError("mkldnn_linear: bf16 path needs the cpu support avx512")

    monkeypatch.setattr("models.recurrence.LSTM.pack", refuse)
    tried = pretend(monkeypatch, PLAIN)
    assert settle(classifier, "auto") == form(classifier) == ("bfloat16", False)
    assert tried == list(PLAIN), "each once: one that can't be packed isn't another form"


def test_form_is_timed_by_its_best_forward_and_not_by_its_first(
    classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow, early, late = (copy.deepcopy(classifier) for _ in range(3))
    seconds = {
        id(slow): chain([0.45], repeat(0.4)),  # once is enough to know that it is slow
        id(early): chain([0.051], repeat(0.001)),  # sets things up
        id(late): chain([0.002], [0.05, 0.002], repeat(0.003)),
    }

    def taken(classifier: Classifier, lengths: tuple[int, ...]) -> float:
        return next(seconds[id(classifier)])

    monkeypatch.setattr(choices, "_forward_seconds", taken)
    monkeypatch.setattr(choices, "PROBES", {"cpu": [(32,)]})
    assert choices._seconds([slow, early, late]) == [0.45, 0.001, 0.002]


def test_form_that_computes_no_padding_is_found(
    classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    def taken(classifier: Classifier, lengths: tuple[int, ...]) -> float:
        _, packed = form(classifier)
        return 1.1 * sum(lengths) if packed else max(lengths) * len(lengths)

    monkeypatch.setattr(choices, "_forward_seconds", taken)
    assert settle(classifier, "bfloat16") == ("bfloat16", True)


def test_packed_model_answers_through_the_service(
    weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_model(weights)
    windows = [[2, 5, 6, 7, 8, 9, 3], [2, 12, 3]]
    logits = []
    for packed in (9.0, 1.0):  # seconds
        pretend(monkeypatch, PLAIN | {("float32", True): packed})
        compute = Compute(weights, ["lstm"], "cpu", "float32", torch.get_num_threads())
        assert compute.models["lstm"].packed == (packed == 1.0)
        logits.append(torch.tensor(compute.run("lstm", None, windows).logits))
    torch.testing.assert_close(*logits)


@pytest.mark.parametrize(
    ("seconds", "chosen"),
    [
        ({6: 1.0, 3: 2.0, 1: 4.0}, 6),
        ({6: 9.0, 3: 2.0, 1: 2.5}, 3),  # more than there are cores to run them
        ({6: 1.0, 3: 1.01, 1: 1.04}, 1),  # none gains by more
    ],
)
def test_fastest_number_of_threads_is_set(
    classifier: Classifier,
    monkeypatch: pytest.MonkeyPatch,
    threads: int,
    seconds: dict[int, float],
    chosen: int,
) -> None:
    slow_once = {6: [50.0], 3: [60.0], 1: [0.1]}  # the first forwards set things up

    def taken(classifier: Classifier, lengths: tuple[int, ...]) -> float:
        count = torch.get_num_threads()
        return slow_once[count].pop() if slow_once[count] else seconds[count]

    monkeypatch.setattr(choices, "_forward_seconds", taken)
    assert choose_threads([classifier], 6) == torch.get_num_threads() == chosen


@pytest.mark.parametrize(
    ("alone", "beside", "undivided"),
    [
        (1.0, 2.3, True),  # two take 2.0 one after the other
        (1.0, 2.1, False),  # as good as nothing gained
        (1.0, 1.5, False),
    ],
)
def test_forwards_are_undivided_where_one_by_one_is_faster_than_side_by_side(
    classifier: Classifier,
    monkeypatch: pytest.MonkeyPatch,
    threads: int,
    alone: float,
    beside: float,
    undivided: bool,
) -> None:
    seconds = {4: chain([9.0], repeat(alone)), 2: chain([9.0], repeat(beside))}
    monkeypatch.setattr(
        choices, "_forward_seconds", lambda *_: next(seconds[torch.get_num_threads()])
    )
    monkeypatch.setattr(choices, "PROBE_SECONDS", 9.0)
    assert runs_undivided(classifier, None, threads=4, share=2, workers=2) == undivided
    assert torch.get_num_threads() == 4


def test_forward_that_gains_by_no_core_more_is_not_tried(
    classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    def tried(*arguments: object) -> float:
        raise AssertionError("it has as many threads either way")

    monkeypatch.setattr(choices, "_forward_seconds", tried)
    assert not runs_undivided(classifier, None, threads=1, share=1, workers=2)
    assert not runs_undivided(classifier, None, threads=2, share=2, workers=1)


def test_threads_that_were_named_are_left(
    weights: Path, monkeypatch: pytest.MonkeyPatch, threads: int
) -> None:
    write_model(weights)
    asked: list[int] = []

    def choose(classifiers: list[Classifier], most: int) -> int:
        asked.append(most)
        return 1

    monkeypatch.setattr(choices, "choose_threads", choose)
    Compute(weights, ["lstm"], "cpu", "float32", 3)
    assert (asked, torch.get_num_threads()) == ([], 3)
    Compute(weights, ["lstm"], "cpu", "float32", 3, fewer_threads=True)
    assert asked == [3]

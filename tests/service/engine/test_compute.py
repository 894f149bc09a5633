"""What a worker settles as it loads a model, and how it runs one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest
import torch
from torch import Tensor

from models.base import Classifier, Schedule
from models.predict import collate
from service.engine import choices
from service.engine.choices import NO_GRAPHS, Graphs, choose_schedule
from service.engine.compute import Compute, ForwardClock
from service.engine.decisions import Form
from service.engine.loading import greeting
from service.observe.timing import now
from tests.small import write_model

WINDOWS = [[2, 5, 6, 7, 8, 9, 3], [2, 12, 3]]


@pytest.fixture
def compute(weights: Path) -> Compute:
    for name in ("lstm", "mingru"):
        write_model(weights, name, architecture=name)
    return Compute(weights, ["lstm", "mingru"], "cpu", "float32", torch.get_num_threads())


def pretend(monkeypatch: pytest.MonkeyPatch, seconds: dict[str, list[float]]) -> None:
    """A forward under a schedule takes what is listed for it, in turn."""

    def taken(
        classifier: Classifier,
        lengths: tuple[int, ...],
        schedule: Schedule | None = None,
        graphs: Graphs = NO_GRAPHS,
    ) -> float:
        return seconds[str(schedule)].pop(0)

    monkeypatch.setattr(choices, "_forward_seconds", taken)


@pytest.mark.parametrize(("serial", "parallel"), [(0.001, 0.002), (0.002, 0.001)])
def test_faster_schedule_is_chosen_whatever_one_slow_forward_says(
    compute: Compute, monkeypatch: pytest.MonkeyPatch, serial: float, parallel: float
) -> None:
    faster = "serial" if serial < parallel else "parallel"
    first = [9.0]  # sets things up: not counted
    seconds = {"serial": first + [serial] * 5, "parallel": first + [parallel] * 5}
    seconds[faster][3] = 1.0
    pretend(monkeypatch, seconds)
    assert choose_schedule(compute.models["mingru"].classifier, NO_GRAPHS) == faster


def test_model_with_one_order_has_no_schedule_to_choose(compute: Compute) -> None:
    assert choose_schedule(compute.models["lstm"].classifier, NO_GRAPHS) is None
    assert compute.models["lstm"].schedule is None


def test_worker_tells_what_it_chose(compute: Compute) -> None:
    hello = greeting(compute, replaces=0)
    assert compute.models["mingru"].schedule in ("serial", "parallel")
    assert hello.fastest_schedule("mingru") == compute.models["mingru"].schedule
    assert hello.fastest_schedule("lstm") is None
    assert hello.dtype("lstm") == "float32"


@pytest.mark.parametrize(("workers", "share"), [(2, 2), (1, 4)])
def test_worker_that_shares_its_cores_tries_whether_it_should(
    weights: Path, monkeypatch: pytest.MonkeyPatch, threads: int, workers: int, share: int
) -> None:
    for name in ("lstm", "mingru"):
        write_model(weights, name, architecture=name)
    tried: list[tuple[object, ...]] = []

    def runs_undivided(classifier: object, *how: object) -> bool:
        tried.append(how)
        return len(tried) == 1

    monkeypatch.setattr(choices, "runs_undivided", runs_undivided)
    compute = Compute(weights, ["mingru", "lstm"], "cpu", "float32", 4, workers=workers)
    assert tried == [
        (compute.models["mingru"].schedule, 4, share, workers),
        (None, 4, share, workers),
    ]
    assert [model.undivided for model in compute.models.values()] == [True, False]


def test_worker_that_follows_runs_what_another_chose(
    compute: Compute, weights: Path, monkeypatch: pytest.MonkeyPatch, threads: int
) -> None:
    def tried(*arguments: object) -> None:
        raise AssertionError("it was decided already")

    decided = replace(
        compute.decisions,
        threads=2,
        forms={
            "lstm": Form("bfloat16", False, None),
            "mingru": Form("float32", True, "serial", undivided=True),
        },
    )
    for name in ("settle", "choose_schedule", "choose_threads", "runs_undivided"):
        monkeypatch.setattr(choices, name, tried)
    follower = Compute(weights, ["lstm", "mingru"], "cpu", "auto", 2, True, decided)
    assert torch.get_num_threads() == 1, "another answers meanwhile"
    assert follower.decisions == decided
    told = {model.name: model.undivided for model in greeting(follower, replaces=0).models}
    assert told == {"lstm": False, "mingru": True}
    assert follower.models["lstm"].classifier.head.weight.dtype == torch.bfloat16
    torch.testing.assert_close(
        torch.tensor(follower.run("mingru", "serial", WINDOWS).logits),
        torch.tensor(compute.run("mingru", "serial", WINDOWS).logits),
    )


@pytest.mark.parametrize(
    ("gains_by", "computing", "share"), [(4, 1, 4), (4, 2, 2), (3, 1, 3), (1, 2, 1), (4, 9, 1)]
)
def test_forward_uses_its_share_of_what_it_gains_by(
    compute: Compute, gains_by: int, computing: int, share: int, threads: int
) -> None:
    compute.cores, compute.threads = 4, gains_by
    compute.share(computing)
    assert torch.get_num_threads() == share


def test_memory_is_that_of_the_process(compute: Compute) -> None:
    assert 50e6 < compute.memory_bytes() < 50e9


def test_schedules_give_the_same_logits_at_another_depth(compute: Compute) -> None:
    logits = [compute.run("mingru", name, WINDOWS).logits for name in ("serial", "parallel")]
    torch.testing.assert_close(torch.tensor(logits[0]), torch.tensor(logits[1]))
    depths = [compute.sequential_depth("mingru", 7, name) for name in ("serial", "parallel")]
    assert depths == [7, 3]


def test_a_batch_is_on_its_device_before_its_forward_has_finished(compute: Compute) -> None:
    before = now()
    result = compute.run("lstm", None, WINDOWS)
    assert before <= result.on_device < result.finished <= now()


def test_clock_of_a_cpu_starts_when_it_is_made() -> None:
    before = now()
    clock = ForwardClock(torch.device("cpu"))
    made = now()
    on_device, finished = clock.stop()
    assert before <= on_device <= made <= finished


def test_a_graph_is_used_for_the_batches_it_holds(compute: Compute) -> None:
    class Recorded:
        def bucket(self, rows: int, length: int) -> tuple[int, int] | None:
            return (2, 8) if rows <= 2 and length <= 8 else None

        def run(self, input_ids: Tensor, attention_mask: Tensor) -> list[list[float]]:
            return [[7.0, 8.0]] * len(input_ids)

    graphs = cast(Graphs, {"serial": Recorded()})
    classifier = compute.models["mingru"].classifier

    def answer(rows: int, schedule: Schedule | None) -> list[list[float]]:
        return choices.forward(classifier, graphs, collate([[2, 5, 3]] * rows), schedule)

    assert answer(2, "serial") == [[7.0, 8.0]] * 2
    eager = [answer(3, "serial"), answer(3, "parallel"), answer(3, None)]
    assert all(len(rows) == 3 and [7.0, 8.0] not in rows for rows in eager)


def test_no_graph_is_recorded_on_a_cpu(compute: Compute) -> None:
    assert choices.capture(compute.models["mingru"].classifier) == {}


def test_a_forward_that_cant_be_recorded_runs_without_a_graph(
    compute: Compute, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(classifier: Classifier, schedule: Schedule | None) -> None:
        raise RuntimeError("operation not permitted when stream is capturing")

    monkeypatch.setattr(choices, "capture_where_it_wins", refuse)
    assert choices.capture(compute.models["lstm"].classifier) == {}
    assert "not permitted when stream is capturing" in caplog.text

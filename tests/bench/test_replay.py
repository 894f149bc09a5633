"""The replay's clock, by policies and traffic simple enough to follow by hand."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.choosing import BATCHES, choice_seconds
from bench.policies import FirstCome, Policy, Service, Text, policies
from bench.replay import Outcome, replay
from bench.traffic import Clients, Poisson, Texts, Traffic, made_texts
from service.engine.batcher import BatchLimits
from service.engine.forward_cost import ForwardCost
from service.engine.queue import Group

GROUP = Group("lstm", None, "client")
SECOND = ForwardCost(start=1.0, step=0.0, token=0.0)  # any forward takes one


@dataclass(frozen=True)
class At(Poisson):
    """Texts that come at given times."""

    times: tuple[float, ...] = ()

    def begin(self, count: int, generator: object) -> list[float]:
        return list(self.times)


def run(policy: Policy, traffic: Traffic, lengths: list[int]) -> Outcome:
    return replay(policy, traffic, lengths, SECOND, GROUP, seed=0)


def latencies(outcome: Outcome) -> list[float]:
    return [one.seconds for one in outcome.answered]


def test_one_at_a_time_makes_the_second_wait() -> None:
    outcome = run(FirstCome(1), At(1, (0.0, 0.25)), [10, 20])
    assert latencies(outcome) == [1.0, 1.75]
    assert (outcome.seconds, outcome.batches, outcome.padded_tokens) == (2.0, 2, 30)


def test_what_comes_during_a_forward_rides_in_the_next() -> None:
    outcome = run(FirstCome(32), At(1, (0.0, 0.25, 0.5)), [10, 20, 30])
    assert latencies(outcome) == [1.0, 1.75, 1.5]
    assert (outcome.batches, outcome.tokens, outcome.padded_tokens) == (2, 60, 70)


def test_window_holds_an_idle_worker_until_it_closes_or_is_full() -> None:
    outcome = run(FirstCome(2, 0.5), At(1, (0.0, 3.0, 3.25)), [10, 10, 10])
    assert latencies(outcome) == [1.5, 1.25, 1.0]


def test_client_waits_for_its_answer() -> None:
    outcome = run(FirstCome(1), Clients(1, turnaround_seconds=0.0), [10] * 3)
    assert latencies(outcome) == [1.0] * 3
    assert outcome.seconds == 3.0


def test_first_texts_are_not_counted_in_latencies() -> None:
    outcome = run(FirstCome(1), Clients(1, turnaround_seconds=0.0), [10] * 20)
    assert (outcome.rows, len(outcome.answered)) == (20, 18)


@given(
    st.lists(st.integers(3, 300), min_size=1, max_size=60),
    st.sampled_from([Clients(1), Clients(8), Poisson(2.0), Poisson(200.0)]),
)
def test_every_policy_answers_every_text(lengths: list[int], traffic: Traffic) -> None:
    cost = ForwardCost(start=0.004, step=0.0, token=0.0001)
    for make in policies(BatchLimits(4096, {("lstm", None): cost})).values():
        outcome = replay(make(), traffic, lengths, cost, GROUP, seed=1)
        assert (outcome.rows, outcome.tokens) == (len(lengths), sum(lengths))
        assert sorted(one.length for one in outcome.answered) == sorted(
            lengths[int(0.1 * len(lengths)) :]
        )


def test_service_lets_no_short_text_wait_for_two_long_ones() -> None:
    cost = ForwardCost(start=0.0, step=0.0, token=0.01)
    limits = BatchLimits(256, {("lstm", None): cost})
    times = (0.0, 0.0, 0.0, 0.5)
    lengths = [100, 100, 100, 10]
    outcome = replay(Service(limits), At(1, times), lengths, cost, GROUP, seed=0)
    by_length = {one.length: one.seconds for one in outcome.answered}
    assert by_length[10] == pytest.approx(0.6)
    first_come = replay(FirstCome(1), At(1, times), lengths, cost, GROUP, seed=0)
    assert first_come.answered[-1].seconds == pytest.approx(2.6)


def test_choosing_is_timed_with_as_many_waiting_each_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    waiting: list[int] = []
    take = Service.take

    def counted(policy: Service, now: float) -> list[Text]:
        waiting.append(len(policy._queue))
        return take(policy, now)

    monkeypatch.setattr(Service, "take", counted)
    limits = BatchLimits(256, {("lstm", None): SECOND})
    assert choice_seconds(limits, GROUP, Texts({"one": [10, 90]}), 50, seed=0) > 0
    assert waiting == [50] * BATCHES


def test_traffic_comes_again_from_its_seed() -> None:
    texts = made_texts(100, 384, seed=3)
    assert texts == made_texts(100, 384, seed=3) != made_texts(100, 384, seed=4)
    assert list(texts.sources) == ["short", "long"]
    lengths = [length for some in texts.sources.values() for length in some]
    assert 3 <= min(lengths) <= max(lengths) <= 384
    policy = [FirstCome(32), FirstCome(32)]
    assert run(policy[0], Poisson(3.0), [10] * 40) == run(policy[1], Poisson(3.0), [10] * 40)


def test_texts_are_drawn_in_equal_shares_of_their_sources() -> None:
    import random

    texts = Texts({"many": [1] * 1000, "few": [2]})
    generator = random.Random(0)
    drawn = [texts.draw(generator) for _ in range(1000)]
    assert 400 < drawn.count(2) < 600


def test_poisson_has_its_rate() -> None:
    outcome = run(FirstCome(10_000), Poisson(50.0), [10] * 5000)
    assert math.isclose(outcome.seconds, 100, rel_tol=0.1)
